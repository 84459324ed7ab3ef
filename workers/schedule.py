"""The sweep: finds everything that is due, whatever happened to the queue. Its cost follows what is due."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from integration.deployment import Deployment
from integration.records import elevations
from integration.records.tables import activations, comments, deliveries
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
}


def due(
    deployment: Deployment, *, now: datetime, tables: Mapping[What, sa.Table] = TABLES, limit: int = AT_MOST
) -> list[Due]:
    """What is due by `now`, at most `limit` rows of each of the tables."""
    with deployment.records.read() as connection:
        return [
            Due(what, row)
            for what, table in tables.items()
            for row in elevations.due(connection, table, now=now, limit=limit)
        ]
