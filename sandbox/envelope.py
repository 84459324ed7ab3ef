"""What stands around every Graph answer: request ids, and the error document."""

from __future__ import annotations

import uuid

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from sandbox import refusals
from sandbox.clock import real_now


def wrap(app: Flask) -> None:
    app.register_error_handler(refusals.GraphError, answer_error)
    app.register_error_handler(HTTPException, answer_unknown)
    app.before_request(_name_request)
    app.after_request(_stamp)


def _name_request() -> None:
    g.request_id = str(uuid.uuid4())
    g.client_request_id = request.headers.get("client-request-id") or g.request_id


def _stamp(response: Response) -> Response:
    response.headers["request-id"] = g.request_id
    response.headers["client-request-id"] = g.client_request_id
    return response


def answer_error(error: refusals.GraphError) -> tuple[Response, int, dict[str, str]]:
    inner = {
        "date": real_now().strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": g.request_id,
        "client-request-id": g.client_request_id,
    }
    body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
    return jsonify(body), error.status, error.headers


def answer_unknown(error: HTTPException) -> tuple[Response, int, dict[str, str]]:
    segment = request.path.rstrip("/").rsplit("/", 1)[-1]
    if error.code == 404:
        return answer_error(refusals.bad_request(f"Resource not found for the segment '{segment}'."))
    return answer_error(refusals.GraphError(error.code or 500, "UnknownError", str(error.description)))
