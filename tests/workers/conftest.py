"""Judges every story that is stepped by hand, when it is told: by the others' logs, and by folding the journal."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from integration.records import journal
from integration.records.tables import activations, elevations
from tests import history
from tests.conftest import Desk, Practice

# A story lets minutes pass between two sweeps, and plays outages: whether a role ends in time is judged by the test.
ANY_TIME = timedelta(days=2)
BY_THE_JOURNAL_ALONE = ("8:", "9:", "10:")


@pytest.fixture(autouse=True)
def judged(request: pytest.FixtureRequest) -> Iterator[None]:
    # A story that breaks its journal is told by these, and judged there.
    if "desk" not in request.fixturenames or request.path.name in ("test_broken_journal.py", "test_last_entry.py"):
        yield
        return
    desk, practice = request.getfixturevalue("desk"), request.getfixturevalue("practice")
    yield
    assert unlike_the_tables(desk) == []
    found = complaints(desk, practice)
    if "clocks_apart" in request.fixturenames:
        found = [it for it in found if it.startswith(BY_THE_JOURNAL_ALONE)]
    if "at_the_portal" in request.fixturenames:
        found = [it for it in found if not it.startswith("5:")]
    assert found == []


@pytest.fixture
def at_the_portal() -> None:
    """The technician gave a role back by hand, with the same app and so with a request like ours."""


@pytest.fixture
def clocks_apart() -> None:
    """The tenant's clock is not ours: the judge cannot hold one's times against the other's."""


def complaints(desk: Desk, practice: Practice) -> list[str]:
    return history.complaints(lines(desk), practice.log(), practice.state(), allowance=ANY_TIME)


def lines(desk: Desk) -> list[str]:
    with desk.deployment.records.read() as connection:
        return list(journal.export(connection))


def unlike_the_tables(desk: Desk) -> list[str]:
    """Where a reader of the journal comes to another state than the tables have (invariant 10)."""
    folded = history.fold(history.read(lines(desk)))
    with desk.deployment.records.read() as connection:
        held = {row.id: row.state for row in connection.execute(sa.select(elevations))}
        found = {row.id: row.state for row in connection.execute(sa.select(activations))}
    wrong = [
        f"elevation {key}: table {held.get(key)}, journal {folded.elevations.get(key)}"
        for key in sorted({*held, *folded.elevations})
        if held.get(key) != folded.elevations.get(key)
    ]
    return wrong + [
        f"activation {key}: table {found.get(key)}, journal {folded.activations.get(key)}"
        for key in sorted({*found, *folded.activations})
        if found.get(key) != folded.activations.get(key)
    ]
