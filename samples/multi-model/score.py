"""Several models in one folder: each request names the one that answers it."""

import json
import os
from pathlib import Path
from typing import Any

import joblib
from azureml_inference_server_http.api.aml_response import AMLResponse

models: dict[str, Any] = {}


def init() -> None:
    """Load every models/NAME.pkl under NAME."""
    folder = Path(os.environ["AZUREML_MODEL_DIR"], "models")
    for path in sorted(folder.glob("*.pkl")):
        models[path.stem] = joblib.load(path)


def run(raw_data: str) -> Any:
    """Answer `data`, rows of body mass index and blood pressure, with the model named in `model`; 404 if unknown."""
    request = json.loads(raw_data)
    name = request["model"]
    if name not in models:
        return AMLResponse({"message": f"No model {name!r}. Models: {', '.join(models)}"}, 404, json_str=True)
    return {"model": name, "prediction": models[name].predict(request["data"]).tolist()}
