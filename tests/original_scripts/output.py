"""Only the output has a schema: the parameters are filled from the JSON all the same."""

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import output_schema


def init():
    pass


@output_schema(StandardPythonParameterType({"data": "text"}))
def run(data, count=2):
    return {"data": data, "count": count}
