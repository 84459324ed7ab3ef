"""What changed in a helpdesk is asked for, and each connection's deliveries have their turn"""

import sqlalchemy as sa
from alembic import op

from integration.records.tables import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    waits = sa.text("due_at IS NOT NULL")
    op.add_column("deliveries", sa.Column("changed_at", UtcDateTime()))
    op.add_column("deliveries", sa.Column("fingerprint", sa.String(64)))
    with op.batch_alter_table("brakes") as brakes:
        brakes.alter_column("name", existing_type=sa.String(32), type_=sa.String(80), existing_nullable=False)
    op.add_column("deliveries", sa.Column("found", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("elevations", sa.Column("unchecked", sa.Boolean(), nullable=False, server_default=sa.false()))
    turn, same = ["connection", "found", "due_at"], ["connection", "ticket"]
    op.create_index("ix_deliveries_turn", "deliveries", turn, sqlite_where=waits, postgresql_where=waits)
    op.create_index("ix_deliveries_waiting", "deliveries", same, sqlite_where=waits, postgresql_where=waits)
    op.create_index("ix_deliveries_ticket", "deliveries", [*same, "id"])
    op.create_table(
        "polls",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("asked_at", UtcDateTime()),
        sa.Column("outcome", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_polls"),
    )
    op.create_index("ix_polls_due", "polls", ["due_at"], sqlite_where=waits, postgresql_where=waits)
