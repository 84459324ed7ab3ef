"""A journal that can go on after a break, its checkpoints, and when the sweep last ran"""

import sqlalchemy as sa
from alembic import op

from integration.records.tables import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEVER = "the journal is append-only"


def upgrade() -> None:
    op.create_table(
        "journal_checkpoints",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", UtcDateTime(), nullable=False),
        sa.Column("stored_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_journal_checkpoints")),
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )
    _count_places_over_all_logs()
    if op.get_bind().dialect.name == "sqlite":
        _forbid_on_sqlite()
    else:
        _forbid_on_postgresql()


def _count_places_over_all_logs() -> None:
    """There was one log so far, so each entry's place is its number. The tables are made anew: both keys change."""
    op.rename_table("journal", "journal_before")
    op.rename_table("journal_private", "journal_private_before")
    if op.get_bind().dialect.name != "sqlite":
        for name in ("journal", "journal_private"):
            op.execute(f"ALTER INDEX pk_{name} RENAME TO pk_{name}_before")
    for column in ("activation", "elevation"):
        op.drop_index(f"ix_journal_{column}", table_name="journal_before")
    op.create_table(
        "journal",
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("log", sa.String(length=32), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("elevation", sa.String(length=32), nullable=True),
        sa.Column("activation", sa.String(length=32), nullable=True),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_journal")),
    )
    for column in ("activation", "elevation"):
        op.create_index(f"ix_journal_{column}", "journal", [column])
    op.create_table(
        "journal_private",
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("place", "name", name=op.f("pk_journal_private")),
    )
    columns = "seq, log, at, kind, elevation, activation, entry, hash"
    op.execute(f"INSERT INTO journal (place, {columns}, held) SELECT seq, {columns}, false FROM journal_before")  # noqa: S608
    op.execute("INSERT INTO journal_private SELECT seq, name, salt, value FROM journal_private_before")
    op.drop_table("journal_private_before")
    op.drop_table("journal_before")  # and its triggers with it


def _forbid_on_sqlite() -> None:
    for table, verbs in (
        ("journal", ("UPDATE", "DELETE")),
        ("journal_private", ("UPDATE",)),
        ("journal_checkpoints", ("DELETE",)),
    ):
        for verb in verbs:
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{NEVER}'); END"
            )
    # INSERT OR REPLACE removes the row that is there without asking the trigger on DELETE.
    for table, key in (
        ("journal", "place = NEW.place"),
        ("journal_private", "place = NEW.place AND name = NEW.name"),
        ("journal_checkpoints", "number = NEW.number"),
    ):
        there = f"EXISTS (SELECT 1 FROM {table} WHERE {key})"  # noqa: S608 - names of ours, from above
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {there} "
            f"BEGIN SELECT RAISE(ABORT, '{NEVER}'); END"
        )
    op.execute(
        "CREATE TRIGGER journal_checkpoints_no_update BEFORE UPDATE ON journal_checkpoints "
        "WHEN NEW.number <> OLD.number OR NEW.place <> OLD.place OR NEW.hash <> OLD.hash OR NEW.note <> OLD.note "
        f"OR NEW.signed_at <> OLD.signed_at BEGIN SELECT RAISE(ABORT, '{NEVER}'); END"
    )


def _forbid_on_postgresql() -> None:
    for table, verbs in (
        ("journal", "UPDATE OR DELETE OR TRUNCATE"),
        ("journal_private", "UPDATE OR TRUNCATE"),
        ("journal_checkpoints", "DELETE OR TRUNCATE"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE {verbs} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()"
        )
    op.execute(
        "CREATE TRIGGER journal_checkpoints_no_update BEFORE UPDATE ON journal_checkpoints FOR EACH ROW "
        "WHEN ((NEW.number, NEW.place, NEW.hash, NEW.note, NEW.signed_at) "
        "IS DISTINCT FROM (OLD.number, OLD.place, OLD.hash, OLD.note, OLD.signed_at)) "
        "EXECUTE FUNCTION journal_is_append_only()"
    )
