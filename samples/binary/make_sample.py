"""Draw sample.png and write it, as base64 in JSON, to sample-request.json, both beside this file."""

import base64
import json
from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).parent


def main() -> None:
    image = Image.new("RGB", (160, 80), "steelblue")
    ImageDraw.Draw(image).ellipse((50, 10, 110, 70), fill="gold")
    image.save(FOLDER / "sample.png", optimize=True)
    content = base64.b64encode((FOLDER / "sample.png").read_bytes()).decode()
    (FOLDER / "sample-request.json").write_text(json.dumps({"image": content}) + "\n")


if __name__ == "__main__":
    main()
