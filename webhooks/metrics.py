"""/metrics for Prometheus: how much is open and late. Closed unless a token is set; no label comes from data.

The numbers are read from the database, so that each of several web processes says the same.
"""

import hmac
import math
from datetime import UTC, datetime

import sqlalchemy as sa
from flask import Blueprint, Response, abort, current_app, request
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from integration.deployment import Deployment
from integration.elevation import State
from integration.records import checkpoints, heartbeats, journal
from integration.records.tables import activations, comments, deliveries, elevations

blueprint = Blueprint("metrics", __name__)
DUE = {"deliveries": deliveries, "elevations": elevations, "activations": activations, "comments": comments}


@blueprint.get("/metrics")
def metrics() -> Response:
    deployment: Deployment = current_app.config["DEPLOYMENT"]
    token = deployment.settings.metrics_token
    given = request.headers.get("Authorization", "").encode()
    if token is None or not hmac.compare_digest(given, b"Bearer " + token.get_secret_value().encode()):
        abort(404)  # whoever has no token need not know that there is something
    return Response(_numbers(deployment, datetime.now(UTC)), mimetype="text/plain")


def _numbers(deployment: Deployment, now: datetime) -> bytes:
    registry = CollectorRegistry()
    states = Gauge("ticket_elevate_elevations", "Elevations, by state", ["state"], registry=registry)
    late = Gauge("ticket_elevate_late", "Rows whose time to be worked on has passed", ["kind"], registry=registry)
    journal_whole = Gauge("ticket_elevate_journal_whole", "0: broken, no role is activated", registry=registry)
    checkpoint_age = Gauge("ticket_elevate_checkpoint_age_seconds", "Since the last was signed", registry=registry)
    unstored = Gauge("ticket_elevate_checkpoints_unstored", "Signed, and not in checkpoint_dir", registry=registry)
    sweep_age = Gauge("ticket_elevate_sweep_age_seconds", "Since the last sweep was done", registry=registry)
    with deployment.records.read() as connection:
        counted = sa.select(elevations.c.state, sa.func.count()).group_by(elevations.c.state)
        found = {str(state): int(number) for state, number in connection.execute(counted)}
        for state in State:
            states.labels(state=str(state)).set(found.get(str(state), 0))
        for kind, table in DUE.items():
            waiting = sa.select(sa.func.count()).select_from(table).where(table.c.due_at < now)
            late.labels(kind=kind).set(connection.execute(waiting).scalar_one())
        whole = journal.standing(connection) is journal.Standing.WHOLE
        sign = checkpoints.last(connection)
        unstored.set(checkpoints.unstored(connection))
        swept = heartbeats.last(connection, heartbeats.SWEEP)
    journal_whole.set(whole)
    checkpoint_age.set(_age(sign.signed_at if sign else None, now))
    sweep_age.set(_age(swept, now))
    return generate_latest(registry)


def _age(at: datetime | None, now: datetime) -> float:
    """Seconds since `at`; NaN when it never was, which no comparison holds for: alarm on its absence."""
    return max((now - at).total_seconds(), 0.0) if at else math.nan
