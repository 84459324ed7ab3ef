"""The sweep: finds everything that is due, whatever happened to the queue. Its cost follows what is due."""

from datetime import datetime
from itertools import chain, islice, zip_longest

from integration.deployment import Deployment
from integration.records import due as rows
from integration.records.tables import activations, comments, deliveries, examinations, notices, polls
from integration.records.tables import elevations as elevations_table
from workers.run import Due, What

EVERY_SECONDS = 1.0
AT_MOST = 500
# Activations first: giving back must not stand behind anything.
TABLES = {
    What.ACTIVATION: activations,
    What.DELIVERY: deliveries,
    What.ELEVATION: elevations_table,
    What.COMMENT: comments,
    What.NOTICE: notices,
    What.EXAMINATION: examinations,
    What.POLL: polls,
}


def due(deployment: Deployment, *, now: datetime, at_most: int = AT_MOST) -> list[Due]:
    """What is due, the longest due first, from each table in turn: a flood in one must not starve the others."""
    with deployment.records.read() as connection:
        found = [
            [Due(what, row) for row in rows.due(connection, table, now=now, limit=at_most)]
            for what, table in TABLES.items()
        ]
    return list(islice((it for it in chain.from_iterable(zip_longest(*found)) if it is not None), at_most))
