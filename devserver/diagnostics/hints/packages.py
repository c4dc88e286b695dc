"""The distribution behind a module, and whether and in which version it is installed."""

from __future__ import annotations

import os
import re
import sys

from devserver.diagnostics.hints.lookup import entries

DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
    "dotenv": "python-dotenv",
    "dateutil": "python-dateutil",
    "jwt": "PyJWT",
    "attr": "attrs",
    "Crypto": "pycryptodome",
    "OpenSSL": "pyOpenSSL",
    "serial": "pyserial",
    "fitz": "pymupdf",
    "docx": "python-docx",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "google.protobuf": "protobuf",
    "google.cloud.storage": "google-cloud-storage",
    "sentence_transformers": "sentence-transformers",
    "pytorch_lightning": "pytorch-lightning",
    "imblearn": "imbalanced-learn",
    "category_encoders": "category-encoders",
    "inference_schema": "inference-schema",
    "azureml.core": "azureml-core",
    "azureml": "azureml-core",
    "azureml.mlflow": "azureml-mlflow",
    "azure.ai.ml": "azure-ai-ml",
    "azure.identity": "azure-identity",
    "azure.keyvault.secrets": "azure-keyvault-secrets",
    "azure.storage.blob": "azure-storage-blob",
    "azure.storage": "azure-storage-blob",
    "azure.cosmos": "azure-cosmos",
    "azure": "azure-identity",
}
_POPULAR = """
accelerate aiohttp altair catboost cloudpickle dask datasets dill duckdb fastapi fasttext flask gensim geopandas
h5py httpx huggingface_hub jax joblib keras langchain librosa lightgbm matplotlib mlflow networkx nltk numba numpy
onnx onnxruntime openai opencensus optuna orjson pandas peft pillow plotly polars prophet psutil pyarrow pydantic
pymongo pyodbc pyspark redis regex requests safetensors scipy seaborn sentencepiece shap spacy sqlalchemy
statsmodels tensorflow tiktoken timm tokenizers torch torchaudio torchvision tqdm transformers ujson xgboost
"""
PACKAGES = frozenset(_POPULAR.split())


def importable() -> set[str]:
    """The names of the modules that can be imported here: the standard library's and the installed ones."""
    names = set(sys.stdlib_module_names)
    for folder in sys.path:
        if os.path.basename(folder) in ("site-packages", "dist-packages"):
            names |= {re.sub(r"(\.py|\..*\.so|\..*\.pyd)$", "", entry.name) for entry in entries(folder)}
    return {name for name in names if name.isidentifier() and not name.startswith("_")}


def is_installed(name: str) -> bool:
    return name in sys.stdlib_module_names or name in importable()


def distribution(top: str) -> str:
    return DISTRIBUTIONS.get(top, top)


def version_of(top: str) -> str:
    version = getattr(sys.modules.get(top), "__version__", "")
    return version if isinstance(version, str) else ""


def with_version(module: str) -> str:
    top = module.partition(".")[0]
    return f"{distribution(top)} {version_of(top)}".strip()
