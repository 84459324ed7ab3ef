"""When a technician acted for an elevation, and whether by a click"""

import sqlalchemy as sa
from alembic import op

from integration.records.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("elevations", sa.Column("acted_at", UtcDateTime(), nullable=True))
    op.add_column("elevations", sa.Column("clicked", sa.Boolean(), nullable=False, server_default=sa.false()))
    # What was under way before is taken up again as if its technician had acted when it was opened.
    op.execute("UPDATE elevations SET acted_at = created_at")
