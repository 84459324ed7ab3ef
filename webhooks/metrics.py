"""/metrics for Prometheus: how much is open and late. Closed unless a token is set; no label comes from data.

The numbers are read from the database, so that each of several web processes says the same.
"""

import hmac
from datetime import UTC, datetime

import sqlalchemy as sa
from flask import Blueprint, Response, abort, request
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from integration.deployment import Deployment
from integration.elevation import State
from integration.records.tables import activations, comments, deliveries, elevations
from webhooks import current

blueprint = Blueprint("metrics", __name__)
DUE = {"deliveries": deliveries, "elevations": elevations, "activations": activations, "comments": comments}


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
        counted = sa.select(elevations.c.state, sa.func.count()).group_by(elevations.c.state)
        found = {str(state): int(number) for state, number in connection.execute(counted)}
        for state in State:
            states.labels(state=str(state)).set(found.get(str(state), 0))
        for kind, table in DUE.items():
            waiting = sa.select(sa.func.count()).select_from(table).where(table.c.due_at < now)
            late.labels(kind=kind).set(connection.execute(waiting).scalar_one())
    return generate_latest(registry)
