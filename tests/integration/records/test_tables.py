"""What the tables promise whatever the code above them does, on both databases."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from integration import journal as chain
from integration import verify
from integration.elevation import Elevation, State
from integration.entra.tokens import TokenRow
from integration.journal import Kind
from integration.records import comments, elevations, journal, people
from integration.records.people import Link
from integration.records.store import Records
from integration.records.tables import metadata
from integration.tickets import Person, Status, Ticket

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


CHANGES = (
    "UPDATE journal SET kind = 'pick.refused'",
    "UPDATE journal SET seq = seq + 1 WHERE seq = 1",
    "DELETE FROM journal",
    "DELETE FROM journal WHERE seq = 1",
    "UPDATE journal_private SET value = 'somebody else'",
)
ON_ONE = {
    "sqlite": (
        "INSERT OR REPLACE INTO journal SELECT * FROM journal",
        "INSERT OR REPLACE INTO journal_private SELECT * FROM journal_private",
    ),
    "postgresql": ("TRUNCATE journal", "TRUNCATE journal_private"),
}


def test_the_journal_table_refuses_to_be_changed(records: Records) -> None:
    """Threat 43: not even with a plain database connection."""
    with records.write() as tx:
        journal.append(tx, Kind.PICK_PLANNED, now=NOON, cause="sweep", private={"actor": "oid"})

    for statement in (*CHANGES, *ON_ONE[records.engine.dialect.name]):
        with pytest.raises(sa.exc.DatabaseError, match="append-only"), records.write() as tx:
            tx.exec_driver_sql(statement)

    with records.read() as connection:
        assert connection.exec_driver_sql("SELECT kind, seq FROM journal").one() == ("pick.planned", 1)
        assert connection.exec_driver_sql("SELECT value FROM journal_private").scalar_one() == "oid"


def test_a_transaction_that_fails_leaves_no_journal_entry(records: Records) -> None:
    def fail() -> None:
        with records.write() as tx:
            journal.append(tx, Kind.PICK_PLANNED, now=NOON, cause="sweep")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with records.write() as tx:
        assert journal.append(tx, Kind.PICK_PLANNED, now=NOON, cause="sweep").seq == 1


def test_times_come_back_as_the_same_moment_in_utc(records: Records) -> None:
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    it = Elevation("E1", "practice", "4821", "technician", "h1", State.REQUESTED, 1, berlin, NOON)
    with records.write() as tx:
        elevations.open_elevation(tx, it)

    with records.read() as connection:
        found = elevations.elevation(connection, "E1")

    assert found == it
    assert found is not None
    assert found.due_at is not None
    assert found.due_at.utcoffset() == timedelta()


def test_a_time_without_a_zone_does_not_reach_the_database(records: Records) -> None:
    naive = NOON.replace(tzinfo=None)
    it = Elevation("E1", "practice", "4821", "technician", "h1", State.REQUESTED, 1, naive, NOON)

    with pytest.raises(sa.exc.StatementError, match="without a zone"), records.write() as tx:
        elevations.open_elevation(tx, it)


def test_the_migrations_make_exactly_the_tables_of_the_code(records: Records) -> None:
    with records.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert set(sa.inspect(connection).get_table_names()) - {"alembic_version"} == set(metadata.tables)


def test_a_journal_of_the_first_version_is_taken_along(database_url: str) -> None:
    """Its one log's places are its numbers; the private values stay with their entries."""
    records = Records(database_url)
    records.migrate("0001")
    made = chain.append(
        chain.empty(chain.new_log()), at=NOON, kind=Kind.LINK_MADE, cause="click", private={"actor": "o"}
    )
    (opened,) = made.opened
    entry = {"seq": 1, "log": made.tail.log, "at": NOON, "kind": "link.made", "entry": made.entry_json}
    with records.write() as tx:
        columns = sa.table("journal", *(sa.column(name) for name in entry), sa.column("hash"))
        tx.execute(columns.insert().values(**entry, hash=made.hash))
        private = sa.table("journal_private", *(sa.column(name) for name in ("seq", "name", "salt", "value")))
        tx.execute(private.insert().values(seq=1, name="actor", salt=opened.salt, value="o"))

    records.migrate()

    with records.write() as tx:
        journal.append(tx, Kind.PICK_PLANNED, now=NOON, cause="click")
        report = verify.verify(list(journal.export(tx)))
    assert (report.ok, report.entries, report.private_open) == (True, 2, 1), verify.render(report)
    records.dispose()


def test_untold_picks_of_an_older_version_are_known_again(database_url: str) -> None:
    """TeamDynamix named each the same; what is open would be ended as handed over, and what was clicked would start
    again by itself.
    """
    records = Records(database_url)
    records.migrate("0009")
    columns = ("id", "connection", "ticket", "account", "pick", "state", "version", "attempts", "created_at")
    older = sa.table("elevations", *(sa.column(name, metadata.tables["elevations"].c[name].type) for name in columns))
    accounts = ("5f0c-uid", "u" * 128)
    with records.write() as tx:
        for account in accounts:
            row = (account[:4], "tdx", "7", account, "untold", State.OFFERED, 1, 0, NOON)
            tx.execute(older.insert().values(dict(zip(columns, row, strict=True))))

    records.migrate()

    with records.read() as connection:
        for account in accounts:
            ticket = Ticket("tdx", "7", "", Status.OPEN, NOON, assignee=Person(account))
            assert elevations.of_pick(connection, "tdx", "7", account, ticket.pick)
    records.dispose()


def test_migrating_twice_changes_nothing(records: Records) -> None:
    with records.write() as tx:
        journal.append(tx, Kind.PICK_PLANNED, now=NOON, cause="sweep")

    records.migrate()

    with records.read() as connection:
        assert len(list(journal.export(connection))) == 1


def test_what_an_elevation_says_again_has_a_name_and_so_a_marker_of_its_own(records: Records) -> None:
    it = Elevation("E1", "practice", "4821", "technician", "h1", State.REQUESTED, 1, NOON, NOON)
    names = []
    with records.write() as tx:
        for step in ("sign-in", "sign-in", "offered", "sign-in"):
            names.append(comments.name_of(tx, "E1", step))
            comments.add(tx, it, names[-1], "words", now=NOON, claimed=False)
        assert comments.said(tx, "E1", "sign-in") == 3
    assert names == ["sign-in", "sign-in-2", "offered", "sign-in-3"]


def test_the_same_comment_of_an_elevation_is_not_kept_twice(records: Records) -> None:
    it = Elevation("E1", "practice", "4821", "technician", "h1", State.REQUESTED, 1, NOON, NOON)
    with records.write() as tx:
        comments.add(tx, it, "active", "words", now=NOON, claimed=False)
    with pytest.raises(sa.exc.IntegrityError), records.write() as tx:
        comments.add(tx, it, "active", "other words", now=NOON, claimed=False)


def test_an_account_and_a_user_have_one_link_in_a_helpdesk(records: Records) -> None:
    """Threat 11: two keys to one person are one too many. An older link has to be ended first, and that is written."""

    def link(account: str, oid: str) -> Link:
        return Link("practice", account, "T", oid, "Technician", f"{account}@practice.example", NOON, None)

    with records.write() as tx:
        people.make_link(tx, link("one", "o1"))
        people.make_link(tx, link("two", "o2"))
    for taken in (link("one", "o3"), link("three", "o1"), link("one", "o2")):
        with pytest.raises(sa.exc.IntegrityError), records.write() as tx:
            people.make_link(tx, taken)
    with records.write() as tx:
        for old in people.in_the_way(tx, link("one", "o2"), lock=True):
            assert people.end_link(tx, old, now=NOON, cause="click", why="replaced", actor="o2")
            assert not people.end_link(tx, old, now=NOON, cause="click", why="replaced", actor="o2")
        people.make_link(tx, link("one", "o2"))
        assert people.all_links(tx) == [link("one", "o2")]
        ended = [json.loads(line)["private"]["linked_to"]["value"] for line in journal.export(tx)]
    assert ended == ["o1", "o2"]


def test_a_suspended_link_stays_to_be_seen(records: Records) -> None:
    made = Link("practice", "one", "T", "o1", "Technician", "one@practice.example", NOON, None)
    with records.write() as tx:
        people.make_link(tx, made)
        assert people.suspend_link(tx, made, now=NOON)
        assert not people.suspend_link(tx, made, now=NOON + timedelta(minutes=1))
        found = people.link_of(tx, "practice", "one")
    assert found is not None
    assert found.suspended_at == NOON


@pytest.mark.parametrize("successor", [{"oid": "o2"}, {"tid": "T2"}, {"address": "two@practice.example"}])
def test_a_link_that_was_replaced_since_it_was_read_is_not_suspended_in_its_successor(
    records: Records, successor: dict[str, str]
) -> None:
    """Threat 10: an address that is no longer the account's says nothing about who linked it since."""
    seen = Link("practice", "one", "T", "o1", "Technician", "one@practice.example", NOON, None)
    with records.write() as tx:
        people.make_link(tx, replace(seen, **successor))
        assert not people.suspend_link(tx, seen, now=NOON)
        assert people.all_links(tx) == [replace(seen, **successor)]


def test_the_versions_of_a_stored_sign_in_never_start_again(records: Records) -> None:
    """Threat 23: a seal of before the deletion must fit nothing that is stored after it."""
    rows = people.TokenRows(records)

    def put(version: int) -> bool:
        return rows.put("T", "o1", TokenRow(b"sealed", version, "h"), now=NOON)

    rows.delete("T", "o1", now=NOON)
    assert rows.version("T", "o1") == 0
    assert put(1)
    assert rows.lease("T", "o1", holder="worker", until=NOON + timedelta(minutes=1), now=NOON)
    rows.delete("T", "o1", now=NOON)
    assert rows.read("T", "o1") is None
    assert not rows.save("T", "o1", TokenRow(b"renewed", 2, "h"), holder="worker", now=NOON)
    assert not rows.lease("T", "o1", holder="another", until=NOON + timedelta(minutes=1), now=NOON)
    assert not put(1)
    assert put(rows.version("T", "o1") + 1)
    found = rows.read("T", "o1")
    assert found is not None
    assert (found.version, found.ciphertext) == (3, b"sealed")


def test_an_error_of_the_database_does_not_say_what_was_to_be_written(records: Records) -> None:
    """Threat 24: such an error is logged with its text, by whoever meets it."""
    with pytest.raises(sa.exc.DBAPIError) as failed, records.read() as connection:
        connection.execute(sa.text("SELECT 1 FROM nowhere WHERE x = :x"), {"x": "canary-secret"})
    assert "canary-secret" not in str(failed.value)
