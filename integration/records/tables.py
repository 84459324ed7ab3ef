"""The tables. Rows become the frozen dataclasses of `integration.elevation` where they have a life of their own."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out, on databases with and without time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone must not reach the database")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# 64 bits. On SQLite every INTEGER has them, and only by that name is a primary key the row's own number.
Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_OPEN_ACTIVATION = sa.text("state in ('asked', 'pending_approval', 'active', 'giving_back')")


def index_only(name: str, *columns: sa.Column[Any], where: sa.ColumnElement[bool]) -> None:
    """An index of those rows alone; a query with the same words in its WHERE uses it."""
    sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


def _index_due(table: sa.Table) -> None:
    """What is due is found by what is due: rows that wait for nothing are not in it."""
    waits = table.c.due_at.is_not(None)
    sa.Index(f"ix_{table.name}_due", table.c.due_at, sqlite_where=waits, postgresql_where=waits)


deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("connection", sa.String(64), nullable=False),
    sa.Column("delivery_id", sa.String(128), nullable=False),
    sa.Column("ticket", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(128), nullable=False),
    sa.Column("secret", sa.String(64), nullable=False),
    sa.Column("revision", sa.String(64)),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("version", sa.Integer, nullable=False, default=1),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("outcome", sa.String(200)),
    # The ticket's own time of its last change: of a worked delivery what was read, else what the call or poll shows.
    sa.Column("changed_at", UtcDateTime),
    sa.Column("fingerprint", sa.String(64)),  # of what the call showed
    sa.Column("found", sa.Boolean, nullable=False, server_default=sa.false()),  # by a poll: no call told of it
    # It shows a ticket that no rule is for.
    sa.Column("waits", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("connection", "delivery_id"),
)
_index_due(deliveries)
_waits = deliveries.c.due_at.is_not(None)
# The next one of each connection; others of the same ticket that wait; what was said of a ticket before.
_turn = (deliveries.c.connection, deliveries.c.found, deliveries.c.waits, deliveries.c.due_at)
sa.Index("ix_deliveries_turn", *_turn, sqlite_where=_waits, postgresql_where=_waits)
_same = (deliveries.c.connection, deliveries.c.ticket)
sa.Index("ix_deliveries_waiting", *_same, sqlite_where=_waits, postgresql_where=_waits)
sa.Index("ix_deliveries_ticket", *_same, deliveries.c.id)

polls = sa.Table(
    "polls",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),  # the connection's name
    sa.Column("due_at", UtcDateTime),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("since", UtcDateTime, nullable=False),  # by the helpdesk's clock: what changed before is known
    sa.Column("page", sa.Integer, nullable=False, server_default="1"),
    sa.Column("asked_at", UtcDateTime),
    sa.Column("outcome", sa.String(200)),
)
_index_due(polls)

elevations = sa.Table(
    "elevations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("connection", sa.String(64), nullable=False),
    sa.Column("ticket", sa.String(64), nullable=False),
    sa.Column("account", sa.String(200), nullable=False),
    sa.Column("pick", sa.String(128), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("acted_at", UtcDateTime),
    sa.Column("clicked", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("address", sa.String(320)),
    sa.Column("tid", sa.String(64)),
    sa.Column("oid", sa.String(64)),
    sa.Column("technician", sa.String(200)),
    sa.Column("rule", sa.String(100)),
    sa.Column("target", sa.String(2000)),
    sa.Column("target_name", sa.String(200)),
    sa.Column("duration_seconds", sa.Integer),
    sa.Column("justification", sa.String(600)),
    sa.Column("activation", sa.String(32), index=True),
    sa.Column("active_at", UtcDateTime),
    sa.Column("until", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("end_reason", sa.String(32)),
    sa.Column("outcome", sa.String(600)),
    sa.Column("analysis", sa.Text),
    sa.Column("part", sa.Integer, nullable=False, server_default="0"),
    sa.Column("challenge", sa.Text),
    sa.Column("longer_seconds", sa.Integer),
    sa.Column("emergency", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("reason", sa.String(600)),
    sa.Column("reviewed_at", UtcDateTime),
    sa.Column("reviewed_by", sa.String(200)),
    sa.Column("let_go_at", UtcDateTime),
    sa.Column("unchecked", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("connection", "ticket", "account", "pick", "part"),
)
_index_due(elevations)
# One elevation at a time for one technician's ticket (and target of its rule, where that has several): a second click,
# tab or delivery finds the first one's row.
_ON = "state in ('offered', 'requested', 'sign_in_needed', 'waiting', 'pending_approval', 'active')"
_HELD = sa.text(f"not emergency and {_ON}")
sa.Index(
    "uq_elevations_held",
    elevations.c.connection,
    elevations.c.ticket,
    elevations.c.account,
    elevations.c.part,
    unique=True,
    sqlite_where=_HELD,
    postgresql_where=_HELD,
)
# And one without a ticket for one technician, whether a ticket was named for it afterwards or not.
_EMERGENCY = sa.text(f"emergency and {_ON}")
sa.Index(
    "uq_elevations_emergency",
    elevations.c.tid,
    elevations.c.oid,
    unique=True,
    sqlite_where=_EMERGENCY,
    postgresql_where=_EMERGENCY,
)
sa.Index("ix_elevations_who", elevations.c.oid, elevations.c.created_at)
# What reviewers filter by, each in the order of the list.
_NEWEST = (elevations.c.created_at, elevations.c.id)
sa.Index("ix_elevations_created", *_NEWEST)
sa.Index("ix_elevations_technician", elevations.c.technician, *_NEWEST)
sa.Index("ix_elevations_role", elevations.c.target_name, *_NEWEST)
sa.Index("ix_elevations_rule", elevations.c.rule, *_NEWEST)
sa.Index("ix_elevations_state", elevations.c.state, *_NEWEST)
sa.Index("ix_elevations_ticket", elevations.c.ticket, *_NEWEST)
index_only("ix_elevations_never_active", elevations.c.state, *_NEWEST, where=elevations.c.active_at.is_(None))

activations = sa.Table(
    "activations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("tid", sa.String(64), nullable=False),
    sa.Column("oid", sa.String(64), nullable=False),
    sa.Column("target", sa.String(2000), nullable=False),
    sa.Column("target_name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("duration_seconds", sa.Integer, nullable=False),
    sa.Column("justification", sa.String(600), nullable=False),
    sa.Column("ticket_number", sa.String(64), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("request_id", sa.String(64)),
    sa.Column("schedule_id", sa.String(400)),
    sa.Column("by_hand", sa.Boolean, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("ends_at", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("outcome", sa.String(600)),
    sa.Column("pending_at", UtcDateTime),
    sa.Column("approval_id", sa.String(400)),
    sa.Column("usable_at", UtcDateTime),
    sa.Column("probe", sa.String(32)),
    sa.Column("revoke_sessions", sa.Boolean, nullable=False, server_default=sa.false()),
)
_index_due(activations)
# The promise "at most one open activation per technician and target", kept by the database.
sa.Index(
    "uq_activations_open",
    activations.c.tid,
    activations.c.oid,
    activations.c.target,
    unique=True,
    sqlite_where=_OPEN_ACTIVATION,
    postgresql_where=_OPEN_ACTIVATION,
)

comments = sa.Table(
    "comments",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("connection", sa.String(64), nullable=False),
    sa.Column("ticket", sa.String(64), nullable=False),
    sa.Column("elevation", sa.String(32), nullable=False, index=True),
    sa.Column("step", sa.String(32), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("written_at", UtcDateTime),
    sa.Column("outcome", sa.String(200)),
    sa.UniqueConstraint("elevation", "step"),
)
_index_due(comments)

links = sa.Table(
    "links",
    metadata,
    sa.Column("connection", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(200), primary_key=True),
    sa.Column("tid", sa.String(64), nullable=False),
    sa.Column("oid", sa.String(64), nullable=False),
    sa.Column("technician", sa.String(200), nullable=False),
    sa.Column("address", sa.String(320), nullable=False),
    sa.Column("made_at", UtcDateTime, nullable=False),
    sa.Column("suspended_at", UtcDateTime),
    # One helpdesk account per helpdesk and Entra user: two keys to one person are one too many.
    sa.UniqueConstraint("connection", "tid", "oid"),
)

token_caches = sa.Table(
    "token_caches",
    metadata,
    sa.Column("tid", sa.String(64), primary_key=True),
    sa.Column("oid", sa.String(64), primary_key=True),
    sa.Column("home_account_id", sa.String(200), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("signed_in_at", UtcDateTime, nullable=False),
    sa.Column("lease_holder", sa.String(64)),
    sa.Column("lease_until", UtcDateTime),
    # The challenge that the sign-in of this very token answered; a renewal leaves none.
    sa.Column("answered", sa.Text),
    # When the tenant last gave out a token for it; when, and in which words, it last refused for good.
    sa.Column("renewed_at", UtcDateTime),
    sa.Column("lost_at", UtcDateTime),
    sa.Column("lost_why", sa.String(400)),
    sa.Column("checked_at", UtcDateTime),
)

# The tenant asked everybody to wait: all processes hold their calls until then, and one of them tries first.
brakes = sa.Table(
    "brakes",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),  # of a part of the tenant, or of a helpdesk
    sa.Column("until", UtcDateTime, nullable=False),
    sa.Column("probe_until", UtcDateTime),
)

# What is unusual, which is rare: integration/marks.py says it, records/review.py asks for it in these words.
index_only("ix_elevations_break_glass", *_NEWEST, where=elevations.c.emergency.is_(True))
index_only("ix_elevations_outside", elevations.c.id, where=elevations.c.end_reason == "outside")
index_only(
    "ix_elevations_not_given_back",
    elevations.c.id,
    where=sa.and_(
        elevations.c.active_at.is_not(None),
        elevations.c.ended_at >= elevations.c.until,
        elevations.c.end_reason != "time_up",
    ),
)
index_only("ix_activations_by_hand", activations.c.id, where=activations.c.by_hand.is_(True))
index_only(
    "ix_activations_never_usable",
    activations.c.id,
    where=sa.and_(
        activations.c.started_at.is_not(None),
        activations.c.ended_at.is_not(None),
        activations.c.usable_at.is_(None),
        activations.c.by_hand.is_(False),
    ),
)
index_only(
    "ix_comments_missing",
    comments.c.elevation,
    where=sa.and_(comments.c.written_at.is_(None), comments.c.due_at.is_(None)),
)

# A name that a reviewer gave to what they filter by; `asked` is JSON.
saved_views = sa.Table(
    "saved_views",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("tid", sa.String(64), nullable=False),
    sa.Column("oid", sa.String(64), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("saved_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("tid", "oid", "name"),
)

# What people are told beyond the ticket (chat, e-mail), as it is due.
notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("elevation", sa.String(32), nullable=False, index=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("sent_at", UtcDateTime),
    sa.Column("outcome", sa.String(200)),
)
_index_due(notices)

# What doctor found when it last looked by itself: one row, made when an administrator first asks for it.
examinations = sa.Table(
    "examinations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("due_at", UtcDateTime),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("asked_at", UtcDateTime, nullable=False),
    sa.Column("done_at", UtcDateTime),
    sa.Column("findings", sa.Text),
)
_index_due(examinations)

tenant_answers = sa.Table(
    "tenant_answers",
    metadata,
    sa.Column("tid", sa.String(64), primary_key=True),
    sa.Column("oid", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(2100), primary_key=True),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("read_at", UtcDateTime, nullable=False),
)

web_sessions = sa.Table(
    "web_sessions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),  # SHA-256 of the cookie
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("tid", sa.String(64)),
    sa.Column("oid", sa.String(64)),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
)

sign_in_flows = sa.Table(
    "sign_in_flows",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),  # SHA-256 of `state`
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("browser", sa.String(64), nullable=False),  # SHA-256 of the cookie that started it
    sa.Column("back_to", sa.String(400), nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)

journal = sa.Table(
    "journal",
    metadata,
    # 1, 2, 3 ... over all logs; `seq` counts within one. They differ once a log goes on from a broken one.
    sa.Column("place", Big, primary_key=True, autoincrement=False),
    sa.Column("seq", Big, nullable=False),
    sa.Column("log", sa.String(32), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("elevation", sa.String(32), index=True),
    sa.Column("activation", sa.String(32), index=True),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    # Nothing may start after it: the log before was broken and nobody has accepted that yet.
    sa.Column("held", sa.Boolean, nullable=False, default=False),
    # How many entries stood out of the order when it was written: somebody moved them (records/journal.py).
    sa.Column("strays", Big, nullable=False, server_default="0"),
)
sa.Index("ix_journal_kind", journal.c.kind, journal.c.place)

# Every checkpoint that was signed, as the file it is; `stored_at`: when a copy of it was in checkpoint_dir.
journal_checkpoints = sa.Table(
    "journal_checkpoints",
    metadata,
    sa.Column("number", Big, primary_key=True, autoincrement=False),
    sa.Column("place", Big, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("signed_at", UtcDateTime, nullable=False),
    sa.Column("stored_at", UtcDateTime),
)

heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
)

journal_private = sa.Table(
    "journal_private",
    metadata,
    sa.Column("place", Big, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
)
