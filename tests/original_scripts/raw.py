"""A run() that is given the Flask request; ?do= chooses what it does."""

import inspect
import logging

import azureml_inference_server_http
import flask
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from azureml_inference_server_http import log_config
from azureml_inference_server_http.api import aml_request, aml_response


def init():
    pass


def same_names():
    return {
        "request": AMLRequest is aml_request.AMLRequest,
        "rawhttp": rawhttp is aml_request.rawhttp,
        "response": AMLResponse is aml_response.AMLResponse,
        "version": isinstance(azureml_inference_server_http.__version__, str),
        "request is one of Flask's": issubclass(AMLRequest, flask.Request),
        "response is one of Flask's": issubclass(AMLResponse, flask.Response),
        "rawhttp returns the function": rawhttp(init) is init,
        "parameters": parameters(AMLResponse.__init__),
        "formatter": issubclass(log_config.AMLLogFormatter, logging.Formatter),
        "filter": callable(log_config.RootAccessFilter().filter),
    }


def parameters(function):
    return [[one.name, repr(one.default)] for one in inspect.signature(function).parameters.values()]


def late(request):
    """The body is made when the request is over."""
    yield request.args["do"]


def echo(request):
    return {
        "method": request.method,
        "path": request.path,
        "full path": request.full_path,
        "url": request.url,
        "arguments": request.args.to_dict(flat=False),
        "form": request.form.to_dict(flat=False),
        "files": {name: file.read().decode("latin-1") for name, file in request.files.items()},
        "body": request.get_data().decode("latin-1"),
        "content type": request.content_type,
        "content length": request.content_length,
        "headers": {name: value for name, value in request.headers if name.startswith("X-")},
    }


def types(request):
    return {
        "type": type(request).__name__,
        "class": request.__class__.__name__,
        "one of Flask's": isinstance(request, flask.Request),
        "one of ours": isinstance(request, AMLRequest),
    }


def after(request):
    flask.after_this_request(mark)
    return "done"


def mark(response):
    response.headers["X-After"] = "1"
    return response


DEEDS = {
    "echo": echo,
    "types": types,
    "both": lambda request: [request.get_data(as_text=True), flask.request.get_data(as_text=True)],
    "after": after,
    "url_for": lambda request: flask.url_for(request.endpoint),
    "template": lambda request: flask.render_template_string("{{ 1 + 1 }}"),
    "names": lambda request: same_names(),
    "json": lambda request: request.json,
    "get_json": lambda request: request.get_json(force=True, silent=True),
    "form key": lambda request: request.form["missing"],
    "data": lambda request: AMLResponse(request.get_data(), 200),
    "text": lambda request: request.get_data(as_text=True),
    "abort 409": lambda request: flask.abort(409),
    "redirect": lambda request: flask.redirect("/elsewhere"),
    "stream": lambda request: AMLResponse(request.stream.read(), 200),
    "late stream": lambda request: AMLResponse(late(request), 200),
    "stream with context": lambda request: AMLResponse(flask.stream_with_context(late(request)), 200),
    "jsonify mixed": lambda request: flask.jsonify({1: "a", "b": 2}),
    "jsonify": lambda request: flask.jsonify(a=[1, 2]),
    "preflight": lambda request: flask.Response(
        status=204, headers={"Access-Control-Allow-Origin": "https://script.example"}
    ),
    "make_response": lambda request: flask.make_response("made", 202),
    "tuple": lambda request: ("text", 404),
    "none": lambda request: None,
    "send_file": lambda request: flask.send_file(__file__, mimetype="text/plain", conditional=False, etag=False),
    "context": lambda request: [flask.current_app.name != "", flask.has_request_context()],
}


@rawhttp
def run(request):
    return DEEDS[request.args.get("do", "echo")](request)
