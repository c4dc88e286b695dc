"""Returns the response object that the body names."""

import http
import io
import json

import flask
import werkzeug
from azureml_inference_server_http.api.aml_response import AMLResponse


class Sub(AMLResponse):
    pass


def pieces(*texts, error=None):
    yield from texts
    if error is not None:
        raise error


def with_headers(*pairs, status=200):
    response = flask.Response("body", status=status)
    for name, value in pairs:
        response.headers.add(name, value)
    return response


def with_cookies():
    response = AMLResponse("body", 200)
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


def failing_attributes():
    response = AMLResponse("body", 200)
    response.headers["x-ms-run-function-failed"] = "changed"
    return response


RESPONSES = {
    "aml text": lambda: AMLResponse("text", 200),
    "aml 201": lambda: AMLResponse("made", 201),
    "aml 204": lambda: AMLResponse("", 204),
    "aml 304": lambda: AMLResponse("", 304),
    "aml 400": lambda: AMLResponse("bad", 400),
    "aml 500": lambda: AMLResponse("broken", 500),
    "aml 503 failed": lambda: AMLResponse("broken", 503, run_function_failed=True),
    "aml 200 failed": lambda: AMLResponse("odd", 200, run_function_failed=True),
    "aml failed by text": lambda: AMLResponse("odd", 200, run_function_failed="perhaps"),
    "aml failed empty": lambda: AMLResponse("odd", 200, run_function_failed=""),
    "aml 333": lambda: AMLResponse("a", 333),
    "aml 499": lambda: AMLResponse("a", 499),
    "aml 555": lambda: AMLResponse("a", 555),
    "aml 600": lambda: AMLResponse("a", 600),
    "aml status object": lambda: AMLResponse("a", http.HTTPStatus.ACCEPTED),
    "aml status text": lambda: AMLResponse("a", "201 Fine"),
    "aml status text number": lambda: AMLResponse("a", "202"),
    "aml status words": lambda: AMLResponse("a", "Fine"),
    "aml status none": lambda: AMLResponse("a", None),
    "aml nothing": lambda: AMLResponse(None, 200),
    "aml nothing json": lambda: AMLResponse(None, 200, json_str=True),
    "aml nothing with headers": lambda: AMLResponse(None, 202, {"X-Own": "1"}),
    "aml dictionary json": lambda: AMLResponse({"b": "ü", "a": [1]}, 200, json_str=True),
    "aml text json": lambda: AMLResponse("text", 200, json_str=True),
    "aml list json": lambda: AMLResponse([1, None, float("nan")], 200, json_str=True),
    "aml false json": lambda: AMLResponse(False, 200, json_str=True),
    "aml object json": lambda: AMLResponse(object(), 200, json_str=True),
    "aml bytes json": lambda: AMLResponse(b"x", 200, json_str=True),
    "aml bytes": lambda: AMLResponse(b"\x00\xff\x89PNG", 200),
    "aml unicode": lambda: AMLResponse("Grüße", 200),
    "aml dictionary": lambda: AMLResponse({"one": 1, "two": 2}, 200),
    "aml list": lambda: AMLResponse(["one", "two"], 200),
    "aml integer": lambda: AMLResponse(5, 200),
    "aml empty": lambda: AMLResponse("", 200),
    "aml false": lambda: AMLResponse(False, 200),
    "aml zero": lambda: AMLResponse(0, 200),
    "aml generator": lambda: AMLResponse(pieces("a", "b", "c"), 200),
    "aml generator of integers": lambda: AMLResponse(pieces("a", 2), 200),
    "aml generator breaks": lambda: AMLResponse(pieces("a", error=RuntimeError("broken")), 200),
    "aml generator breaks at once": lambda: AMLResponse(pieces(error=RuntimeError("broken")), 200),
    "aml file": lambda: AMLResponse(io.BytesIO(b"from a file"), 200),
    "aml headers": lambda: AMLResponse("a", 200, {"X-Own": "1", "X-Other": "two words"}),
    "aml header list": lambda: AMLResponse("a", 200, {"X-Own": "1, 2,3", "Vary": "Accept, Origin"}),
    "aml header empty": lambda: AMLResponse("a", 200, {"X-Own": ""}),
    "aml header commas": lambda: AMLResponse("a", 200, {"X-Own": ",1,,"}),
    "aml header number": lambda: AMLResponse("a", 200, {"X-Own": 1}),
    "aml header none": lambda: AMLResponse("a", 200, {"X-Own": None}),
    "aml header bytes": lambda: AMLResponse("a", 200, {"X-Own": b"1"}),
    "aml header newline": lambda: AMLResponse("a", 200, {"X-Own": "1\r\nX-More: 2"}),
    "aml header unicode": lambda: AMLResponse("a", 200, {"X-Own": "ü"}),
    "aml header beyond latin": lambda: AMLResponse("a", 200, {"X-Own": "\u20ac"}),
    "aml headers none": lambda: AMLResponse("a", 200, None),
    "aml headers pairs": lambda: AMLResponse("a", 200, [("X-Own", "1")]),
    "aml header repeated case": lambda: AMLResponse("a", 200, {"X-Own": "1", "x-own": "2"}),
    "aml expires": lambda: AMLResponse("a", 200, {"Expires": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "aml last modified": lambda: AMLResponse("a", 200, {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "aml quoted comma": lambda: AMLResponse("a", 200, {"X-Own": 'name="a, b"'}),
    "aml cookie": lambda: AMLResponse("a", 200, {"Set-Cookie": "a=1; Path=/"}),
    "aml content type": lambda: AMLResponse("<a/>", 200, {"Content-Type": "application/xml"}),
    "aml content type charset": lambda: AMLResponse("a", 200, {"Content-Type": "text/plain; charset=latin-1"}),
    "aml content type lower": lambda: AMLResponse("<a/>", 200, {"content-type": "application/xml"}),
    "aml content type upper": lambda: AMLResponse("<a/>", 200, {"CONTENT-TYPE": "application/xml"}),
    "aml content type json": lambda: AMLResponse({"a": 1}, 200, {"Content-Type": "application/xml"}, json_str=True),
    "aml content type none": lambda: AMLResponse(None, 200, {"Content-Type": "application/xml"}),
    "aml content length": lambda: AMLResponse("abc", 200, {"Content-Length": "2"}),
    "aml location": lambda: AMLResponse("", 302, {"Location": "/elsewhere"}),
    "aml connection": lambda: AMLResponse("a", 200, {"Connection": "keep-alive"}),
    "aml own header": lambda: AMLResponse("a", 200, {"X-Powered-By": "script"}),
    "aml trace": lambda: AMLResponse("a", 200, {"TraceId": "own"}),
    "aml run failed header": lambda: AMLResponse("a", 200, {"x-ms-run-function-failed": "own"}),
    "aml run failed header 500": lambda: AMLResponse("a", 500, {"x-ms-run-function-failed": "own"}),
    "aml exec header": lambda: AMLResponse("a", 200, {"x-ms-run-fn-exec-ms": "own"}),
    "aml version header": lambda: AMLResponse("a", 200, {"x-ms-server-version": "own"}),
    "aml request id": lambda: AMLResponse("a", 200, {"x-request-id": "own"}),
    "aml ms request id": lambda: AMLResponse("a", 200, {"x-ms-request-id": "own"}),
    "aml client request id": lambda: AMLResponse("a", 200, {"x-ms-client-request-id": "own"}),
    "aml changed later": failing_attributes,
    "aml cookies": with_cookies,
    "aml subclass": lambda: Sub("sub", 200),
    "aml without status": lambda: AMLResponse("text"),
    "aml unknown option": lambda: AMLResponse("text", 200, mimetype="text/plain"),
    "aml by name": lambda: AMLResponse(message="m", status_code=203, response_headers={"X-Own": "1"}, json_str=False),
    "aml by position": lambda: AMLResponse({"m": 1}, 203, {"X-Own": "1"}, True, True),
    "flask text": lambda: flask.Response("plain"),
    "flask 400": lambda: flask.Response("bad", 400),
    "flask 500": lambda: flask.Response("broken", 500),
    "flask 599": lambda: flask.Response("broken", 599),
    "flask json": lambda: flask.jsonify({"b": 1, "a": 2}),
    "flask text json": lambda: flask.Response(json.dumps({"a": 1}), mimetype="application/json"),
    "flask 500 own failed": lambda: with_headers(("x-ms-run-function-failed", "False"), status=500),
    "flask 200 own failed": lambda: with_headers(("x-ms-run-function-failed", "perhaps")),
    "flask repeated header": lambda: with_headers(("X-Own", "1"), ("X-Own", "2")),
    "flask own origin": lambda: with_headers(("Access-Control-Allow-Origin", "https://script.example")),
    "flask comma header": lambda: with_headers(("X-Own", "1, 2")),
    "flask stream": lambda: flask.Response(pieces("one", "two"), mimetype="text/plain"),
    "flask stream 500": lambda: flask.Response(pieces("one", "two"), 500),
    "flask redirect": lambda: flask.redirect("/other", 307),
    "flask attachment": lambda: flask.send_file(io.BytesIO(b"data"), download_name="a.bin", as_attachment=True),
    "flask empty": lambda: flask.Response(),
    "werkzeug": lambda: werkzeug.Response("not Flask's"),
}


def init():
    pass


def run(data):
    return RESPONSES[data]()
