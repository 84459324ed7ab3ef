"""/healthz: this process answers. /readyz: so does its database, and it says whether roles may start.

A broken journal does not make it 503: pages and giving back go on, and must not be taken off the network.
"""

import sqlalchemy as sa
from flask import Blueprint, Response

from integration.records import journal
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
            standing = journal.standing(connection)
    except sa.exc.SQLAlchemyError:
        return problem(503, "The database does not answer, or `ticket-elevate init` was not run.")
    words = "ok\n" if standing is journal.Standing.WHOLE else "ok, but the journal is broken: no role is activated\n"
    return Response(words, mimetype="text/plain")
