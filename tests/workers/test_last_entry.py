"""Anything at all stands in the journal's last row, on both databases.

Contract: the end can be read, what is active is given back, nothing starts, and the export, the verifier, the doctor
and `accept_break` do their work.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from integration import verify
from integration.elevation import State
from integration.journal import Kind, StartsStopped
from integration.records import journal
from integration.records.journal import Standing
from integration.records.store import Records
from integration.records.tables import journal as entries
from tests.conftest import Desk, Practice
from tests.workers.steps import pick
from tests.workers.test_broken_journal import TRIGGERS, accept, standing, verified
from workers.doctor import examine

TOP = 2**63 - 1
COPIES = ("at", "kind", "elevation", "activation")  # what is found by, and said again by the entry itself


def spoil(records: Records, column: str, value: Any, place: str = "(SELECT max(place) FROM journal)") -> bool:
    """Whether the database took it. `place` is whose entry it is: the last one's."""
    try:
        with records.write() as tx:
            for statement in TRIGGERS[tx.dialect.name]:
                tx.exec_driver_sql(statement)
            mine = f"UPDATE journal SET {column} = {{}} WHERE place = {place}"  # noqa: S608
            raw = isinstance(value, str) and value.startswith("SQL:")
            if raw:
                tx.exec_driver_sql(mine.format(value.removeprefix("SQL:")))
            else:
                tx.execute(sa.text(mine.format(":value")), {"value": value})
    except (sa.exc.DBAPIError, OverflowError):
        return False
    return True


DAMAGE = [
    ("entry", b"\xff"),
    ("entry", "SQL:CAST(x'ff' AS TEXT)"),
    ("entry", "SQL:replace(entry, '\"v\":1', CAST(x'ff' AS TEXT))"),
    ("entry", ""),
    ("entry", "SQL:CAST(entry AS BLOB)"),
    ("hash", b"\x00"),
    ("hash", "SQL:CAST(hash AS BLOB)"),
    ("hash", "SQL:CAST(x'c328' AS TEXT)"),
    ("hash", "\ufffd" * 64),
    ("log", b"\xff"),
    ("log", "x"),
    ("seq", 2**53 + 1),
    ("seq", TOP),
    ("seq", -1),
    ("seq", b"\xff"),
    ("seq", "SQL:1.5"),
    ("held", b"\xff"),
    ("held", 7),
    ("strays", TOP),
    ("strays", b"\xff"),
    ("place", TOP),
    ("place", TOP - 1),
    ("place", -TOP),
    ("place", 0),
    ("place", journal.LEAP * 5),
    *((column, value) for column in COPIES for value in (b"\xff", "x" * 20, 2**60)),
    ("at", "SQL:'infinity'"),
    ("place", 2147483647),
    ("place", journal.LEAP - 1),
]


@pytest.mark.parametrize(("column", "value"), DAMAGE)
def test_whatever_is_in_the_last_row_the_role_is_given_back(
    desk: Desk, practice: Practice, column: str, value: Any
) -> None:
    """Threats 39 and 43."""
    desk.link()
    ticket = pick(desk, practice)
    assert practice.active_roles()
    if not spoil(desk.deployment.records, column, value):
        pytest.skip("this database does not take such a value")
    broken = standing(desk) is Standing.BROKEN
    told = next(found for found in examine(desk.deployment) if found.what == "journal")
    assert told.ok is not broken
    if broken:
        refused = pick(desk, practice)
        assert desk.only(refused).state is State.REFUSED

    practice.solve(ticket)
    desk.deliver(ticket)
    desk.advance(timedelta(minutes=5, seconds=2))
    desk.sweep()

    assert practice.active_roles() == []
    assert desk.only(ticket).state is State.ENDED
    assert len(practice.activation_requests()) == 1
    if not broken:
        # A place that keeps its order, or a copy of what the entry says: nothing was broken.
        assert column in COPIES or (column == "place" and value < journal.LEAP)
        return
    assert standing(desk) is Standing.HELD
    report = verified(desk, practice.notes(ticket))
    if column in ("entry", "hash", "place"):
        assert report.problems
    else:
        assert report.ok, verify.render(report)  # the entry itself is as it was
    accept(desk)
    assert standing(desk) is Standing.WHOLE


ANY_TEXT = st.text(max_size=80).filter(lambda text: "\x00" not in text)
ANYTHING = st.one_of(st.none(), st.integers(-(2**63), TOP), st.binary(max_size=80), ANY_TEXT, st.floats())
NAMES = st.sampled_from([column.name for column in entries.columns])


@dataclass
class Rows:
    records: Records
    column: str
    value: Any

    def told(self, desk: Desk) -> None:
        with self.records.write() as tx:
            for kind in (Kind.PICK_PLANNED, Kind.ACTIVATION_SEEN):
                last = journal.append(tx, kind, now=desk.now(), cause="sweep", private={"actor": "o"})
        if not spoil(self.records, self.column, self.value, str(last.end.place)):
            return
        with self.records.read() as connection:
            found = journal.standing(connection)
        if found is not Standing.WHOLE:
            with pytest.raises(StartsStopped), self.records.write() as tx:
                journal.append(tx, Kind.PICK_PLANNED, now=desk.now(), cause="sweep")
        else:
            assert self.column in (*COPIES, "place", "held") or self.unchanged(), (self.column, self.value)
        for _ in range(2):
            with self.records.write() as tx:
                journal.append(tx, Kind.GIVEBACK_DONE, now=desk.now(), cause="sweep", private={"actor": "o"})
        with self.records.write() as tx:
            journal.accept_break(tx, now=desk.now(), reason="r", actor="a")
            assert journal.standing(tx) is Standing.WHOLE
            journal.append(tx, Kind.PICK_PLANNED, now=desk.now(), cause="sweep", private={"actor": "o"})
            report = verify.verify(list(journal.export(tx)))
        verify.render(report)

    def unchanged(self) -> bool:
        """SQLite makes a number of a text that is one: what was there may be what was written."""
        return self.column in ("seq", "strays")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=NAMES, value=ANYTHING)
@example(column="place", value=TOP)
def test_any_value_in_any_column_lets_giving_back_be_written_down(desk: Desk, column: str, value: Any) -> None:
    """Threats 39 and 43: one journal, spoiled and taken up again and again."""
    Rows(desk.deployment.records, column, value).told(desk)


def test_many_entries_moved_away_at_once_leave_room(desk: Desk) -> None:
    """The private values of what was moved stay behind, and are in nobody's way."""
    records = desk.deployment.records
    for _ in range(9):
        with records.write() as tx:
            journal.append(tx, Kind.PICK_REFUSED, now=desk.now(), cause="sweep", private={"actor": "o"})
    with records.write() as tx:
        for statement in TRIGGERS[tx.dialect.name]:
            tx.exec_driver_sql(statement)
        moved = sa.update(entries).where(entries.c.place > 3)
        tx.execute(moved.values(place=entries.c.place + (TOP - 9)))
    assert standing(desk) is Standing.BROKEN

    for _ in range(9):
        with records.write() as tx:
            journal.append(tx, Kind.GIVEBACK_DONE, now=desk.now(), cause="sweep", private={"actor": "o"})

    assert standing(desk) is Standing.HELD
    accept(desk)
    assert standing(desk) is Standing.WHOLE
    report = verified_alone(desk)
    assert [p.seq for p in report.breaks] != []
    assert report.entries == 9 + 1 + 9 + 1


def test_entries_that_were_cut_off_are_missed_by_what_they_left_behind(desk: Desk) -> None:
    """Threat 41: the next entry would have had the place, and so the private values, of the one that is gone."""
    off = {"sqlite": "DROP TRIGGER journal_no_delete", "postgresql": TRIGGERS["postgresql"][0]}
    records = desk.deployment.records
    for kept in (3, 0):
        for _ in range(3):
            with records.write() as tx:
                journal.append(tx, Kind.PICK_REFUSED, now=desk.now(), cause="sweep", private={"actor": "o"})
        with records.write() as tx:
            if kept:
                tx.exec_driver_sql(off[tx.dialect.name])
            tx.execute(entries.delete().where(entries.c.place > kept - 1))
        assert standing(desk) is Standing.BROKEN

        with records.write() as tx:
            journal.append(tx, Kind.GIVEBACK_DONE, now=desk.now(), cause="sweep", private={"actor": "o"})
        accept(desk)

        assert standing(desk) is Standing.WHOLE
    assert verified_alone(desk).problems


def verified_alone(desk: Desk) -> verify.Report:
    with desk.deployment.records.read() as connection:
        return verify.verify(list(journal.export(connection)))
