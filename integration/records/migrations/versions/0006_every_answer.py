"""Approvals, step-ups, bundles, more time, break glass, notices, and what is known of a sign-in and of throttling"""

import sqlalchemy as sa
from alembic import op

from integration.records.tables import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ON = "state in ('offered', 'requested', 'sign_in_needed', 'waiting', 'pending_approval', 'active')"
_OPEN = "state in ('asked', 'pending_approval', 'active', 'giving_back')"


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    op.drop_index("uq_elevations_held", "elevations")
    op.drop_index("uq_activations_open", "activations")
    with op.batch_alter_table("elevations") as table:
        table.add_column(sa.Column("part", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("challenge", sa.Text()))
        table.add_column(sa.Column("longer_seconds", sa.Integer()))
        table.add_column(sa.Column("emergency", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("reason", sa.String(600)))
        table.add_column(sa.Column("reviewed_at", UtcDateTime()))
        table.add_column(sa.Column("reviewed_by", sa.String(200)))
        table.alter_column("target", existing_type=sa.String(400), type_=sa.String(2000))
        table.drop_constraint("uq_elevations_connection", type_="unique")
        table.create_unique_constraint("uq_elevations_connection", ["connection", "ticket", "account", "pick", "part"])
    with op.batch_alter_table("activations") as table:
        table.add_column(sa.Column("pending_at", UtcDateTime()))
        table.add_column(sa.Column("approval_id", sa.String(400)))
        table.add_column(sa.Column("usable_at", UtcDateTime()))
        table.add_column(sa.Column("probe", sa.String(32)))
        table.add_column(sa.Column("revoke_sessions", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.alter_column("target", existing_type=sa.String(400), type_=sa.String(2000), existing_nullable=False)
        table.alter_column("schedule_id", existing_type=sa.String(200), type_=sa.String(400))
    _index("uq_elevations_held", "elevations", ["connection", "ticket", "account", "part"], f"not emergency and {_ON}")
    _index("uq_elevations_emergency", "elevations", ["tid", "oid"], f"emergency and {_ON}")
    _index("uq_activations_open", "activations", ["tid", "oid", "target"], _OPEN)
    with op.batch_alter_table("token_caches") as table:
        for column in ("renewed_at", "lost_at", "checked_at"):
            table.add_column(sa.Column(column, UtcDateTime()))
        table.add_column(sa.Column("answered", sa.Text()))
        table.add_column(sa.Column("lost_why", sa.String(400)))
    with op.batch_alter_table("tenant_answers") as table:
        table.alter_column("name", existing_type=sa.String(450), type_=sa.String(2100), existing_nullable=False)
    op.create_table(
        "brakes",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("probe_until", UtcDateTime()),
        sa.PrimaryKeyConstraint("name", name="pk_brakes"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("elevation", sa.String(32), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", UtcDateTime()),
        sa.Column("outcome", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
    )
    waits = sa.text("due_at IS NOT NULL")
    op.create_index("ix_notices_due", "notices", ["due_at"], sqlite_where=waits, postgresql_where=waits)
    op.create_index("ix_notices_elevation", "notices", ["elevation"])
