"""The app that answers machines: helpdesks, probes, Prometheus. No session, no form, no page; problem documents.

It is another app than that of the pages, so that a delivery costs none of what people need, and can reach none of it.
A panel in a helpdesk is for people, but it is the helpdesk that calls.
"""

import logging
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from integration.deployment import Deployment
from webhooks import deliveries, guards, health, language, metrics, panels
from webhooks.problems import correlation_id, problem

log = logging.getLogger(__name__)
ADDRESSES = ("/webhooks/", "/panels/", "/healthz", "/readyz", "/metrics")
WORDS = {
    404: "There is nothing here.",
    405: "This address does not take that kind of call.",
    413: "The call is larger than 256 KiB. Send only the ticket's number and what happened to it.",
}


def create(deployment: Deployment) -> Flask:
    app = Flask("webhooks.machines", static_folder=None)
    app.config.update(DEPLOYMENT=deployment, MAX_CONTENT_LENGTH=deliveries.LARGEST + 1)
    deliveries.install(app, deployment)
    language.install(app, deployment)
    guards.limit_by_hand(app, deployment)
    for blueprint in (health, metrics, panels):
        app.register_blueprint(blueprint.blueprint)

    @app.errorhandler(HTTPException)
    def known(error: HTTPException) -> Response:
        code = error.code or 500
        return problem(code, WORDS.get(code, HTTPStatus(code).phrase + "."))

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:  # with its twin in `problems`, where a request's surprises end
        log.exception("request_failed", extra={"correlation_id": correlation_id()})
        return problem(500, "Something went wrong on our side. Send the call again later.")

    return app
