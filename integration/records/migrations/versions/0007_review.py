"""What reviewers ask for: filters and marks by index, views that they saved, and when a ticket let go of its role"""

import sqlalchemy as sa
from alembic import op

from integration.records.tables import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BY = {"technician": "technician", "role": "target_name", "rule": "rule", "state": "state", "ticket": "ticket"}
_ONLY = {
    ("ix_elevations_never_active", "elevations", "state, created_at, id"): "active_at IS NULL",
    ("ix_elevations_break_glass", "elevations", "created_at, id"): "emergency IS {true}",
    ("ix_elevations_outside", "elevations", "id"): "end_reason = 'outside'",
    ("ix_elevations_not_given_back", "elevations", "id"): (
        "active_at IS NOT NULL AND ended_at >= until AND end_reason != 'time_up'"
    ),
    ("ix_activations_by_hand", "activations", "id"): "by_hand IS {true}",
    ("ix_activations_never_usable", "activations", "id"): (
        "started_at IS NOT NULL AND ended_at IS NOT NULL AND usable_at IS NULL AND by_hand IS {false}"
    ),
    ("ix_comments_missing", "comments", "elevation"): "written_at IS NULL AND due_at IS NULL",
}


def upgrade() -> None:
    op.add_column("elevations", sa.Column("let_go_at", UtcDateTime()))
    op.drop_index("ix_elevations_created", "elevations")
    op.create_index("ix_elevations_created", "elevations", ["created_at", "id"])
    for name, column in _BY.items():
        op.create_index(f"ix_elevations_{name}", "elevations", [column, "created_at", "id"])
    op.create_index("ix_journal_kind", "journal", ["kind", "place"])
    sqlite = op.get_bind().dialect.name == "sqlite"
    for (name, table, columns), where in _ONLY.items():
        only = sa.text(where.format(true=1 if sqlite else "true", false=0 if sqlite else "false"))
        op.create_index(name, table, columns.split(", "), sqlite_where=only, postgresql_where=only)
    op.create_table(
        "saved_views",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("tid", sa.String(64), nullable=False),
        sa.Column("oid", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("saved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_saved_views"),
        sa.UniqueConstraint("tid", "oid", "name", name="uq_saved_views_tid"),
    )
