"""The apps that answer machines: helpdesks, probes, Prometheus. No session, no form, no page; problem documents.

They are other apps than that of the pages, so that a delivery costs none of what people need, and can reach none of it.
A panel in a helpdesk is for people, but it is the helpdesk that calls: it has people's languages and limits, which each
call of its app costs time.
"""

import logging
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from integration.deployment import Deployment
from webhooks import deliveries, guards, health, language, metrics, panels
from webhooks.problems import correlation_id, problem

log = logging.getLogger(__name__)
WORDS = {
    404: "There is nothing here.",
    405: "This address does not take that kind of call.",
    413: "The call is larger than 256 KiB. Send only the ticket's number and what happened to it.",
}


def create(deployment: Deployment) -> dict[tuple[str, ...], Flask]:
    """The apps, by how the addresses begin that each of them answers."""
    receiver, beside = _answering("webhooks.machines", deployment), _answering("webhooks.panels", deployment)
    deliveries.install(receiver, deployment)
    for blueprint in (health, metrics):
        receiver.register_blueprint(blueprint.blueprint)
    language.install(beside, deployment)
    guards.limit_by_hand(beside, deployment)
    beside.register_blueprint(panels.blueprint)
    return {("/webhooks/", "/healthz", "/readyz", "/metrics"): receiver, ("/panels/",): beside}


def _answering(name: str, deployment: Deployment) -> Flask:
    app = Flask(name, static_folder=None)
    app.config.update(DEPLOYMENT=deployment, MAX_CONTENT_LENGTH=deliveries.LARGEST + 1)
    app.url_map.merge_slashes = False  # an address with one too many is unknown; no helpdesk follows a redirect

    @app.errorhandler(HTTPException)
    def known(error: HTTPException) -> Response:
        code = error.code or 500
        answer = problem(code, WORDS.get(code, HTTPStatus(code).phrase + "."))
        if isinstance(error, MethodNotAllowed):
            answer.allow.update(error.valid_methods or ())
        return answer

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:  # with its twin in `problems`, where a request's surprises end
        log.exception("request_failed", extra={"correlation_id": correlation_id()})
        return problem(500, "Something went wrong on our side. Send the call again later.")

    return app
