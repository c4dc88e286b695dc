"""Raw HTTP: the bytes of an image come in, the bytes of its thumbnail go out as PNG."""

import base64
import io

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
from PIL import Image

SIZE = (64, 64)  # the thumbnail fits into this box and keeps its proportions


def init() -> None:
    """Nothing to load."""


@rawhttp
def run(request: AMLRequest) -> AMLResponse:
    """Take an image as body, or base64 in JSON: `{"image": "..."}`. What is no image gets a 400."""
    try:
        png = thumbnail(image_bytes(request))
    except (OSError, ValueError) as error:  # Pillow raises OSError, base64 ValueError
        return AMLResponse({"message": f"Cannot read the image: {error}"}, 400, json_str=True)
    return AMLResponse(png, 200, {"Content-Type": "image/png"})


def image_bytes(request: AMLRequest) -> bytes:
    return base64.b64decode(request.json["image"]) if request.is_json else request.get_data()


def thumbnail(content: bytes) -> bytes:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.thumbnail(SIZE)
    png = io.BytesIO()
    image.save(png, "PNG")
    return png.getvalue()
