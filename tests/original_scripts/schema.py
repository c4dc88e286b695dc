"""A run() with one parameter of every kind that inference-schema knows; only `number` is required."""

import datetime

import numpy
import pandas
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

MOMENT = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)


def init():
    pass


def shown(value):
    if isinstance(value, numpy.ndarray):
        return ["ndarray", str(value.dtype), value.tolist()]
    if isinstance(value, pandas.DataFrame):
        return ["DataFrame", [str(kind) for kind in value.dtypes], value.to_dict(orient="split")]
    if isinstance(value, (datetime.date, datetime.time)):
        return [type(value).__name__, value.isoformat()]
    if isinstance(value, (bytes, bytearray)):
        return [type(value).__name__, value.decode("latin-1")]
    if isinstance(value, dict):
        return [type(value).__name__, {key: shown(part) for key, part in value.items()}]
    return [type(value).__name__, value]


@input_schema("number", StandardPythonParameterType(1.5))
@input_schema("text", StandardPythonParameterType("text"))
@input_schema("flag", StandardPythonParameterType(True))
@input_schema("listing", StandardPythonParameterType([1, 2, 3]))
@input_schema("moment", StandardPythonParameterType(MOMENT))
@input_schema("blob", StandardPythonParameterType(b"bytes"))
@input_schema("array", NumpyParameterType(numpy.array([[1, 2], [3, 4]])))
@input_schema("frame", PandasParameterType(pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})))
@input_schema(
    "nested",
    StandardPythonParameterType(
        {
            "array": NumpyParameterType(numpy.array([1.5, 2.5])),
            "name": StandardPythonParameterType("n"),
        }
    ),
)
@output_schema(StandardPythonParameterType({"number": 1.5, "text": "text"}))
def run(
    number,
    text="default",
    flag=False,
    listing=[],
    moment="2001-02-03 04:05:06.000000 +0000",
    blob="",
    array=[[0, 0]],
    frame=[{"a": 0, "b": ""}],
    nested={"array": [0.5], "name": ""},
    free="default",
    request_headers=None,
):
    return {
        "number": shown(number),
        "text": shown(text),
        "flag": shown(flag),
        "listing": shown(listing),
        "moment": shown(moment),
        "blob": shown(blob),
        "array": shown(array),
        "frame": shown(frame),
        "nested": shown(nested),
        "free": shown(free),
        "request_headers": [type(request_headers).__name__, request_headers.get("X-Own")],
    }
