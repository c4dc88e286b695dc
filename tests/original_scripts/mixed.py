"""A sample that version 2 of swagger cannot express."""

import functools

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return ["wrapped", function(*arguments, **named)]

    return wrapper


@wrapped
@input_schema("data", StandardPythonParameterType([1, "two", {"three": 3}]))
@output_schema(StandardPythonParameterType([1.5]))
def run(data):
    return data
