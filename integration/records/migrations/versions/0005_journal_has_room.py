"""Places and numbers of the journal have 64 bits, and an entry knows how many before it were moved out of the order"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CHECKPOINT = ("number", "place", "hash", "note", "signed_at")


def upgrade() -> None:
    op.add_column(
        "journal",
        sa.Column("strays", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, server_default="0"),
    )
    if op.get_bind().dialect.name == "sqlite":
        return  # every INTEGER has 64 bits there
    # PostgreSQL does not change a column that a trigger looks at.
    op.execute("DROP TRIGGER journal_checkpoints_no_update ON journal_checkpoints")
    for table, columns in (
        ("journal", ("place", "seq")),
        ("journal_private", ("place",)),
        ("journal_checkpoints", ("number", "place")),
    ):
        for column in columns:
            op.alter_column(table, column, type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)
    new, old = (", ".join(f"{row}.{name}" for name in CHECKPOINT) for row in ("NEW", "OLD"))
    op.execute(
        "CREATE TRIGGER journal_checkpoints_no_update BEFORE UPDATE ON journal_checkpoints FOR EACH ROW "
        f"WHEN (({new}) IS DISTINCT FROM ({old})) EXECUTE FUNCTION journal_is_append_only()"
    )
