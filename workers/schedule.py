"""The sweep: finds everything that is due, whatever happened to the queue. Its cost follows what is due."""

from datetime import datetime

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


def due(deployment: Deployment, *, now: datetime) -> list[Due]:
    with deployment.records.read() as connection:
        return [
            Due(what, row)
            for what, table in TABLES.items()
            for row in elevations.due(connection, table, now=now, limit=AT_MOST)
        ]
