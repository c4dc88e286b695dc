"""A scikit-learn model from the model folder: measurements of flowers come in, the names of their species go out."""

import json
import os
from typing import Any

import joblib


def init() -> None:
    """Load the model. AZUREML_MODEL_DIR is the folder of the registered model, or what --model_dir says."""
    global model
    model = joblib.load(os.path.join(os.getenv("AZUREML_MODEL_DIR"), "model", "iris.pkl"))


def run(raw_data: str) -> dict[str, Any]:
    """Classify `data`: one row per flower, with length and width of sepal and petal in cm."""
    data = json.loads(raw_data)["data"]
    return {
        "species": model.predict(data).tolist(),  # tolist(), because JSON knows no numpy values
        "probability": model.predict_proba(data).max(axis=1).round(3).tolist(),
    }
