"""Parameters with types: inference-schema turns JSON into numpy, pandas and Python values and writes /swagger.json."""

from typing import Any

import numpy as np
import pandas as pd
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

FLATS = pd.DataFrame({"rooms": [3], "area": [82.5]})
RATES = np.array([10000.0, 2000.0])  # per room, per square metre


def init() -> None:
    """Nothing to load: the rates come with the request."""


# Each sample tells the type and the shape of a parameter, and is the example in /swagger.json.
@input_schema("flats", PandasParameterType(FLATS))
@input_schema("rates", NumpyParameterType(RATES, enforce_shape=True))
@input_schema("currency", StandardPythonParameterType("EUR"))
@output_schema(StandardPythonParameterType({"currency": "EUR", "prices": [195000.0]}))
def run(flats: pd.DataFrame, rates: np.ndarray, currency: str = "EUR") -> dict[str, Any]:
    """Price each flat: its rooms and its area, times the rates."""
    prices = flats[["rooms", "area"]].to_numpy() @ rates
    return {"currency": currency, "prices": prices.tolist()}
