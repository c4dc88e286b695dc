"""@rawhttp on a function that is not run(): run() is given the request nevertheless."""

from azureml_inference_server_http.api.aml_request import rawhttp


def init():
    pass


@rawhttp
def helper(request):
    return request


def run(request_headers, request, spare="kept"):
    return [request.method, request.get_data(as_text=True), request_headers.get("X-Own"), spare]
