"""/healthz: this process answers. /readyz: so does its database."""

import sqlalchemy as sa
from flask import Blueprint, Response

from webhooks import current
from webhooks.problems import problem

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
def ready() -> Response:
    try:
        with current.deployment().records.read() as connection:
            connection.execute(sa.select(1))
    except sa.exc.SQLAlchemyError:
        return problem(503, "The database does not answer.")
    return Response("ok\n", mimetype="text/plain")
