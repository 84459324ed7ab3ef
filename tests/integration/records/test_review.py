"""The reviewers' list, on both databases.

Contract: pages end to end hold every elevation once, whatever is filtered by; what the database calls unusual is what
the rows are called; words find names, quotes the whole of one, and a dash those that have none.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from integration.elevation import Elevation, EndReason, State
from integration.journal import Kind
from integration.marks import Mark
from integration.records import elevations, journal, review, story, views
from integration.records.review import Filter, Page
from integration.records.store import Records
from integration.records.tables import activations, comments
from integration.records.tables import elevations as table
from integration.records.tables import journal as entries

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
NAMES = ("Technician One", "Technician Two", "TECHNICIAN ÄÖ", "100% _name_", '"quoted"', None)
END = NOON + timedelta(hours=1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    """300 elevations with every kind of mark, many of them at one moment."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('review')}/elevate.sqlite"
    else:
        server = sa.make_url(request.getfixturevalue("postgres_url")).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE listed")
        engine.dispose()
        url = server.set(database="listed").render_as_string(hide_password=False)
    made = Records(url)
    made.migrate()
    chance = random.Random(5)  # noqa: S311
    with made.write() as tx:
        for n in range(300):
            _add(tx, chance, n)
    yield made
    made.dispose()


def _add(tx: sa.Connection, chance: random.Random, n: int) -> None:
    moments = (None, NOON, END, END + timedelta(seconds=9))
    name = f"E{chance.randrange(10**9):09}{n:03}"
    it = Elevation(
        name,
        "practice",
        f"{n % 90}",
        "technician",
        name,
        chance.choice([State.ENDED, State.ENDED, State.REFUSED, State.WATCHED]),
        1,
        None,
        NOON + timedelta(minutes=n // 7),
        tid=chance.choice(["t", "u", None]),
        oid=chance.choice(["one", "two", None]),
        technician=chance.choice(NAMES),
        target=chance.choice(["entra-role:1@/", "entra-role:1@/administrativeUnits/2", None]),
        target_name=chance.choice(["Reader", "Global Reader", None]),
        rule=chance.choice(["password-reset", "mfa-reset", None]),
        activation=name if chance.random() < 0.7 else None,
        active_at=chance.choice(moments),
        until=chance.choice(moments),
        ended_at=chance.choice(moments),
        end_reason=chance.choice([None, *map(str, EndReason)]),
        emergency=chance.random() < 0.1,
        reviewed_at=chance.choice(moments),
    )
    elevations.open_elevation(tx, it)
    row: dict[str, Any] = {"id": name, "tid": "t", "oid": name, "target": "x", "target_name": "x", "state": "expired"}
    row |= {"version": 1, "created_at": NOON, "duration_seconds": 1, "justification": "", "ticket_number": ""}
    row |= {"attempts": 0, "by_hand": chance.random() < 0.2, "started_at": chance.choice(moments)}
    row |= {"ended_at": chance.choice(moments), "usable_at": chance.choice(moments)}
    tx.execute(activations.insert().values(**row))
    if chance.random() < 0.5:
        said = {"id": name, "connection": "practice", "ticket": "1", "elevation": name, "step": "active", "text": ""}
        said |= {"created_at": NOON, "version": 1, "attempts": 1}
        times = {"written_at": chance.choice(moments), "due_at": chance.choice(moments)}
        tx.execute(comments.insert().values(**said, **times))


FILTERS = (
    Filter(),
    Filter(technician="technician"),
    Filter(technician="äö"),
    Filter(technician='"Technician One"'),
    Filter(technician='""quoted""'),
    Filter(technician="%"),
    Filter(technician="_n"),
    Filter(technician="-"),
    Filter(technician="nobody"),
    Filter(role="reader", rule="reset"),
    Filter(role='"Reader"'),
    Filter(rule="-", state=State.ENDED),
    Filter(ticket="17"),
    Filter(person="t/one"),
    Filter(person="t/ONE"),
    Filter(person="-", target="entra-role:1@/"),
    Filter(target="-", technician="one"),
    Filter(state=State.WATCHED, became_active=True),
    Filter(became_active=False, state=State.ENDED),
    Filter(emergencies=True),
    Filter(since=NOON + timedelta(minutes=5), before=NOON + timedelta(minutes=9)),
    Filter(marks=frozenset(Mark)),
    *(Filter(marks=frozenset({mark})) for mark in Mark),
    Filter(marks=frozenset(Mark), technician="one", state=State.ENDED, since=NOON + timedelta(minutes=3)),
)


def _holds(asked: Filter, it: review.Marked) -> bool:
    """What a filter means, said another way."""
    row = it.row
    named = ((asked.technician, row.technician), (asked.role, row.target_name), (asked.rule, row.rule))
    return (
        all(_named(words, name) for words, name in named)
        and _is(asked.person, review.person(row.tid, row.oid))
        and _is(asked.target, row.target)
        and (not asked.ticket or row.ticket == asked.ticket)
        and (asked.state is None or row.state == asked.state)
        and (not asked.marks or bool(asked.marks & set(it.marks)))
        and (asked.became_active is None or (row.active_at is not None) is asked.became_active)
        and (not asked.emergencies or row.emergency)
        and (asked.since is None or row.created_at >= asked.since)
        and (asked.before is None or row.created_at < asked.before)
    )


def _is(wanted: str, key: str | None) -> bool:
    return not wanted or key == (None if wanted == "-" else wanted)


def _named(words: str, name: str | None) -> bool:
    if words == "-":
        return name is None
    if len(words) > 2 and words.startswith('"') and words.endswith('"'):
        return name == words[1:-1]
    return not words or (name is not None and words.casefold() in name.casefold())


def _pages(connection: sa.Connection, asked: Filter, limit: int) -> Iterator[Page]:
    found = review.page(connection, asked, limit=limit)
    yield found
    while found.older:
        found = review.page(connection, asked, limit=limit, older_than=found.rows[-1].row.id)
        yield found


@pytest.mark.parametrize("asked", FILTERS, ids=range(len(FILTERS)))
def test_pages_end_to_end_hold_what_the_filter_means_each_once_the_newest_first(
    records: Records, asked: Filter
) -> None:
    with records.read() as connection:
        everything = list(review.each(connection, Filter()))
        expected = [it.row.id for it in everything if _holds(asked, it)]
        assert [it.row.id for it in review.each(connection, asked)] == expected
        listed = [it.row.id for page in _pages(connection, asked, 16) for it in page.rows]
    assert listed == expected[::-1]
    assert len(everything) == 300


def test_what_is_listed_is_marked_as_the_filter_asked(records: Records) -> None:
    """The rows are judged in Python, the filter in the database."""
    with records.read() as connection:
        seen: set[Mark] = set()
        for mark in Mark:
            for it in review.each(connection, Filter(marks=frozenset({mark}))):
                assert mark in it.marks
                seen |= set(it.marks)
    assert seen == set(Mark)


def test_newer_leads_back_by_the_same_pages(records: Records) -> None:
    with records.read() as connection:
        forth = list(_pages(connection, Filter(), 50))
        assert [page.newer for page in forth] == [False, True, True, True, True, True]
        assert [page.older for page in forth] == [True, True, True, True, True, False]
        back = forth[-1]
        for before in forth[-2::-1]:
            back = review.page(connection, Filter(), limit=50, newer_than=back.rows[0].row.id)
            assert [it.row.id for it in back.rows] == [it.row.id for it in before.rows]
            assert back.older
        assert not back.newer


def test_an_edge_that_is_no_elevation_is_none(records: Records) -> None:
    with records.read() as connection:
        first = review.page(connection, Filter(), limit=5)
        assert review.page(connection, Filter(), limit=5, older_than="none") == first


def test_names_are_each_once(records: Records) -> None:
    with records.read() as connection:
        assert sorted(review.names(connection, table.c.technician, limit=99)) == sorted(it for it in NAMES if it)
        assert len(review.names(connection, table.c.technician, limit=2)) == 2


def test_what_was_held_is_told_in_seconds(records: Records) -> None:
    with records.write() as tx:
        it = Elevation("H1", "practice", "1", "technician", "H1", State.ENDED, 1, None, NOON - timedelta(days=9))
        it = replace(it, active_at=it.created_at, let_go_at=it.created_at + timedelta(minutes=4))
        elevations.open_elevation(tx, replace(it, ended_at=it.created_at + timedelta(minutes=5)))
    with records.write() as tx:
        (found,) = review.held(tx, NOON - timedelta(days=10), NOON - timedelta(days=8))
        tx.execute(table.delete().where(table.c.id == "H1"))
    assert (found.created, found.used, found.held) == (int(it.created_at.timestamp()), 240, 300)


@pytest.mark.parametrize("asked", [Filter(), Filter(state=State.ENDED), Filter(marks=frozenset({Mark.BY_HAND}))])
def test_no_filter_reads_the_whole_table_on_sqlite(records: Records, asked: Filter) -> None:
    if not records.sqlite:
        pytest.skip("PostgreSQL plans by how many rows there are")
    seen: list[str] = []
    sa.event.listen(records.engine, "before_cursor_execute", lambda *given: seen.append(given[2:4]))  # type: ignore[arg-type]
    with records.read() as connection:
        review.page(connection, asked, limit=5)
    with records.engine.connect() as connection:
        for statement, parameters in list(seen):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(parameters)).all()
            assert not [step for *_, step in plan if step.startswith("SCAN elevations") and "USING" not in step], plan


def test_views_are_of_one_person_replaced_by_name_and_forgotten_with_a_name(records: Records) -> None:
    with records.write() as tx:
        views.save(tx, "t", "one", "Mondays", {"state": "ended"}, now=NOON)
        views.save(tx, "t", "one", "Mondays", {"unusual": "any"}, now=NOON)
        views.save(tx, "t", "two", "Hers", {"technician": '"Technician One"'}, now=NOON)
        (mine,) = views.of(tx, "t", "one")
        assert (mine.name, mine.asked) == ("Mondays", {"unusual": "any"})
        (other,) = views.of(tx, "t", "two")
        assert not views.delete(tx, "t", "one", other.id)
        views.save(tx, "t", "two", "His", {"person": "t/0f0e"}, now=NOON)
        views.forget(tx, ["technician one"])
        assert [view.name for view in views.of(tx, "t", "two")] == ["His"]
        views.forget(tx, ["0F0E"])
        assert views.of(tx, "t", "two") == []
        assert views.delete(tx, "t", "one", mine.id)
        for n in range(views.MOST):
            views.save(tx, "t", "one", f"{n}", {"state": "ended"}, now=NOON)
        with pytest.raises(views.TooMany):
            views.save(tx, "t", "one", "one more", {}, now=NOON)
        views.save(tx, "t", "one", "3", {"state": "failed"}, now=NOON)


DAMAGE = {
    "sqlite": (
        "UPDATE journal SET entry = CAST(x'ff00fe' AS TEXT)",
        "UPDATE journal SET at = 'never', seq = 'x', kind = x'ff'",
        "UPDATE journal SET hash = 5, held = 'x', log = x'80'",
        "UPDATE journal_private SET value = CAST(x'ff' AS TEXT), salt = 'text'",
    ),
    "postgresql": (
        "UPDATE journal SET entry = '{'",
        "UPDATE journal SET at = '0001-01-01', seq = -1, kind = ''",
        "UPDATE journal SET hash = ''",
        "UPDATE journal_private SET value = '', salt = ''",
    ),
}
UNLOCK = {
    "sqlite": ("BEGIN IMMEDIATE", "DROP TRIGGER journal_no_update", "DROP TRIGGER journal_private_no_update"),
    "postgresql": ("ALTER TABLE journal DISABLE TRIGGER ALL", "ALTER TABLE journal_private DISABLE TRIGGER ALL"),
}


@pytest.mark.parametrize("which", range(4))
def test_a_story_is_read_whatever_stands_in_the_journals_rows(records: Records, which: int) -> None:
    it, name = NOON, f"S{which}"
    with records.write() as tx:
        journal.append(tx, Kind.BREAKGLASS_REVIEWED, now=it, cause="click", elevation=name, private={"note": "Fine."})
        assert story.reviewers_notes(tx, [name]) == {name: "Fine."}
        (whole,) = story.entries(tx, name, None)
        assert (whole.at, whole.kind, [value for _, _, value in whole.private]) == (
            it,
            Kind.BREAKGLASS_REVIEWED,
            ["Fine."],
        )

    with records.engine.connect() as connection:  # which is never committed
        for statement in UNLOCK[records.engine.dialect.name]:
            connection.exec_driver_sql(statement)
        place = connection.execute(sa.select(entries.c.place).where(entries.c.elevation == name)).scalar_one()
        connection.exec_driver_sql(f"{DAMAGE[records.engine.dialect.name][which]} WHERE place = {place}")
        (found,) = story.entries(connection, name, None)
        story.reviewers_notes(connection, [name])
        connection.rollback()
    assert found.place == place
