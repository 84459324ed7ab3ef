"""/metrics for Prometheus: how much is open and late. Closed unless a token is set; no label comes from data.

The numbers are read from the database, so that each of several web processes says the same.
"""

import hmac
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, request
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from integration.deployment import Deployment
from integration.records import overview
from webhooks import current

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    deployment = current.deployment()
    token = deployment.settings.metrics_token
    given = request.headers.get("Authorization", "").encode()
    if token is None or not hmac.compare_digest(given, b"Bearer " + token.get_secret_value().encode()):
        abort(404)  # whoever has no token need not know that there is something
    return Response(_numbers(deployment, datetime.now(UTC)), mimetype="text/plain")


def _numbers(deployment: Deployment, now: datetime) -> bytes:
    registry = CollectorRegistry()
    states = Gauge("ticket_elevate_elevations", "Elevations, by state", ["state"], registry=registry)
    late = Gauge("ticket_elevate_late", "Rows whose time to be worked on has passed", ["kind"], registry=registry)
    with deployment.records.read() as connection:
        for state, number in overview.states(connection).items():
            states.labels(state=str(state)).set(number)
        for kind, number in overview.late(connection, now=now).items():
            late.labels(kind=kind).set(number)
    return generate_latest(registry)
