"""The door to the database: connections that broke while nobody used them, and statements kept each by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from integration.records import deliveries, store
from integration.records.store import Records
from integration.records.tables import heartbeats
from integration.tickets import TicketEvent
from tests.conftest import cut_connections

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def postgresql(postgres_database: str) -> Iterator[Records]:
    made = Records(postgres_database)
    made.migrate()
    yield made
    made.dispose()


@pytest.mark.parametrize("door", ["read", "write", "write_apart"])
def test_a_connection_that_broke_while_it_rested_is_replaced(
    postgresql: Records, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    monkeypatch.setattr(store, "RESTED", 0.0)
    with postgresql.read() as first, postgresql.read() as second:
        first.execute(sa.text("SELECT 1"))
        second.execute(sa.text("SELECT 1"))
    cut_connections(postgresql.url)
    with getattr(postgresql, door)() as tx:
        tx.execute(sa.text("SELECT 1"))


def test_one_that_breaks_in_use_takes_the_others_with_it(postgresql: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RESTED", 3600.0)
    with postgresql.read() as first, postgresql.read() as second:
        first.execute(sa.text("SELECT 1"))
        second.execute(sa.text("SELECT 1"))
    cut_connections(postgresql.url)
    with pytest.raises(store.AWAY), postgresql.write() as tx:
        tx.execute(sa.text("SELECT 1"))
    for _ in range(3):
        with postgresql.write() as tx:
            tx.execute(sa.text("SELECT 1"))


def test_what_is_written_apart_stays_whatever_comes_after_it_where_there_is_no_transaction(records: Records) -> None:
    apart, together = (heartbeats.insert().values(name=name, at=NOW) for name in ("apart", "together"))

    def twice(tx: sa.Connection, beat: sa.Insert) -> None:
        tx.execute(beat)
        tx.execute(beat)

    with pytest.raises(sa.exc.IntegrityError), records.write_apart() as tx:
        twice(tx, apart)
    with pytest.raises(sa.exc.IntegrityError), records.write() as tx:  # the next one is a transaction again
        twice(tx, together)
    with records.read() as connection:
        kept = list(connection.execute(sa.select(heartbeats.c.name)).scalars())
    assert kept == ([] if records.sqlite else ["apart"])


def test_deliveries_are_kept_as_they_were_given(records: Records) -> None:
    text = "\u00fc \U0001f600 ' \" \\ {} %s %(x)s :x $1 NULL"
    given = deliveries.row(
        "practice",
        TicketEvent(text, "4821", text, "first", revision="7", fingerprint="f" * 64, shown_at=NOW, idle=True),
        now=NOW + timedelta(microseconds=1),
        waits=True,
    )
    plain = deliveries.row("practice", TicketEvent("msg_2", "4822", "ticket.assigned", "first"), now=NOW)
    with records.write_apart() as tx:
        assert deliveries.store_all(tx, [given, plain]) == {given["id"], plain["id"]}
    with records.read() as connection:
        table = deliveries.deliveries
        rows = [row._asdict() for row in connection.execute(sa.select(table).order_by(table.c.id))]
    assert rows == [{**given, "outcome": None}, {**plain, "outcome": None}]


@pytest.mark.parametrize("wrong", [{"kind": "k" * 129}, {"due_at": datetime(2026, 3, 2)}, {"ticket": None}])  # noqa: DTZ001
def test_a_row_that_does_not_fit_is_refused_and_never_cut(records: Records, wrong: dict[str, object]) -> None:
    row = deliveries.row("practice", TicketEvent("msg_1", "4821", "ticket.assigned", "first"), now=NOW)
    if records.sqlite and "kind" in wrong:
        pytest.skip("SQLite knows no lengths")
    with pytest.raises((sa.exc.SQLAlchemyError, ValueError)), records.write_apart() as tx:
        deliveries.store_all(tx, [{**row, **wrong}])
    with records.read() as connection:
        assert connection.execute(sa.select(deliveries.deliveries)).all() == []
