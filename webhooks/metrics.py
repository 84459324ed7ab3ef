"""/metrics for Prometheus: how much is open and late. Closed unless a token is set; no label comes from data.

The numbers are read from the database, so that each of several web processes says the same.
"""

import hmac
import math
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, request
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from integration.deployment import Deployment
from integration.records import checkpoints, heartbeats, journal, overview, signins
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
    sign_ins = Gauge("ticket_elevate_sign_ins", "Kept sign-ins, by how they are", ["health"], registry=registry)
    journal_whole = Gauge("ticket_elevate_journal_whole", "0: broken, no role is activated", registry=registry)
    checkpoint_age = Gauge("ticket_elevate_checkpoint_age_seconds", "Since the last was signed", registry=registry)
    unstored = Gauge("ticket_elevate_checkpoints_unstored", "Signed, and not in checkpoint_dir", registry=registry)
    sweep_age = Gauge("ticket_elevate_sweep_age_seconds", "Since the last sweep was done", registry=registry)
    with deployment.records.read() as connection:
        for state, number in overview.states(connection).items():
            states.labels(state=str(state)).set(number)
        for kind, number in overview.late(connection, now=now).items():
            late.labels(kind=kind).set(number)
        for health, number in signins.counts(connection, now=now).items():
            sign_ins.labels(health=str(health)).set(number)
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
