"""What doctor found, for the administrators' page"""

import sqlalchemy as sa
from alembic import op

from integration.records.tables import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "examinations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("done_at", UtcDateTime()),
        sa.Column("findings", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_examinations"),
    )
    waits = sa.text("due_at IS NOT NULL")
    op.create_index("ix_examinations_due", "examinations", ["due_at"], sqlite_where=waits, postgresql_where=waits)
