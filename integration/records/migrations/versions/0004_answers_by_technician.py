"""What the tenant told, by technician: all of it is read at once. It is a cache, and fills again by itself"""

import sqlalchemy as sa
from alembic import op

from integration.records.tables import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("tenant_answers")
    op.create_table(
        "tenant_answers",
        sa.Column("tid", sa.String(length=64), nullable=False),
        sa.Column("oid", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=450), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tid", "oid", "name", name=op.f("pk_tenant_answers")),
    )
