"""What shows a ticket that no rule is for waits until nothing else of its helpdesk does; one name for untold picks"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    waits = sa.text("due_at IS NOT NULL")
    op.add_column("deliveries", sa.Column("waits", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index("ix_deliveries_turn", "deliveries")
    turn = ["connection", "found", "waits", "due_at"]
    op.create_index("ix_deliveries_turn", "deliveries", turn, sqlite_where=waits, postgresql_where=waits)
    # TeamDynamix named all picks alike of which its history says nothing; by now with the account, as elsewhere.
    op.execute("UPDATE elevations SET pick = substr('untold:' || account, 1, 128) WHERE pick = 'untold'")
