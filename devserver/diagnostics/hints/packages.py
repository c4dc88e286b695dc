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
    "sentence_transformers": "sentence-transformers",
    "pytorch_lightning": "pytorch-lightning",
    "imblearn": "imbalanced-learn",
    "category_encoders": "category-encoders",
    "inference_schema": "inference-schema",
    "opencensus.ext.azure": "opencensus-ext-azure",
}
NAMESPACES = {"azureml", "azure", "google"}  # no distribution of theirs brings the name itself
_PARTS = """
azureml-ai-monitoring azureml-automl-core azureml-automl-runtime azureml-contrib-fairness azureml-contrib-services
azureml-core azureml-datadrift azureml-dataprep azureml-evaluate-mlflow azureml-explain-model azureml-fsspec
azureml-interpret azureml-metrics azureml-mlflow azureml-monitoring azureml-opendatasets azureml-pipeline-core
azureml-pipeline-steps azureml-responsibleai azureml-telemetry azureml-tensorboard azureml-train-automl-runtime
azureml-widgets
azure-ai-documentintelligence azure-ai-formrecognizer azure-ai-inference azure-ai-ml azure-ai-textanalytics
azure-appconfiguration azure-cognitiveservices-speech azure-core azure-cosmos azure-data-tables azure-eventhub
azure-functions azure-identity azure-keyvault-certificates azure-keyvault-keys azure-keyvault-secrets
azure-monitor-opentelemetry azure-monitor-query azure-search-documents azure-servicebus azure-storage-blob
azure-storage-queue
google-auth google-cloud-aiplatform google-cloud-bigquery google-cloud-pubsub google-cloud-storage
google-generativeai
"""
DISTRIBUTIONS |= {name.replace("-", "."): name for name in _PARTS.split()}  # named after the module that they bring
DISTRIBUTIONS |= {
    "azureml.data": "azureml-core",
    "azureml.exceptions": "azureml-core",
    "azureml.train.automl": "azureml-train-automl-client",
    "azureml.train.dnn": "azureml-train-core",
    "azureml.train.estimator": "azureml-train-core",
    "azureml.train.hyperdrive": "azureml-train-core",
    "azureml.train.sklearn": "azureml-train-core",
    "azure.storage.filedatalake": "azure-storage-file-datalake",
    "azure.storage.fileshare": "azure-storage-file-share",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
}
_POPULAR = """
accelerate aiohttp altair catboost cloudpickle dask datasets dill duckdb fastapi fasttext flask gensim geopandas
h5py httpx huggingface_hub jax joblib keras langchain librosa lightgbm matplotlib mlflow networkx nltk numba numpy
onnx onnxruntime openai opencensus optuna orjson pandas peft pillow plotly polars prophet psutil pyarrow pydantic
pymongo pyodbc pyspark redis regex requests safetensors scipy seaborn sentencepiece shap spacy sqlalchemy
statsmodels tensorflow tiktoken timm tokenizers torch torchaudio torchvision tqdm transformers ujson xgboost
"""
PACKAGES = frozenset(_POPULAR.split())


def distribution_of(module: str) -> str | None:
    """The distribution that is known to bring this module (dotted)."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    found = next((DISTRIBUTIONS[name] for name in names if name in DISTRIBUTIONS), None)
    return found or (parts[0].replace("_", "-") if parts[0] in PACKAGES else None)


def installed_version(distribution: str) -> str | None:
    """The version in which the distribution is installed here; None where it is not."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


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
