"""A helpdesk that says that we call too often: this connection waits, in every process, and no other one does."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from integration.helpdesks.braked import braked
from integration.helpdesks.generic import Generic
from integration.records.brake import BrakeRows
from integration.records.store import Records
from integration.tickets import Helpdesk, HelpdeskUnavailable, ListsTickets, Presser, ProvesPresser
from tests.integration.helpdesks.conftest import SmallHelpdesk

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
Connect = Callable[..., Generic]


@pytest.fixture
def rows(database_url: str) -> Iterator[BrakeRows]:
    records = Records(database_url)
    records.migrate()
    yield BrakeRows(records)
    records.dispose()


def throttled(helpdesk: SmallHelpdesk, status: int = 429) -> None:
    helpdesk.instead["/api/tickets/4821"] = [lambda: (status, {"Retry-After": "30"}, [b"{}"])]


def read(desk: Helpdesk) -> str:
    return desk.ticket("4821", now=NOON).number


def test_everybody_waits_as_long_as_it_said_and_then_one_tries(
    connect: Connect, helpdesk: SmallHelpdesk, rows: BrakeRows
) -> None:
    first, second = (braked(connect(), rows) for _ in range(2))  # two processes
    with freeze_time(NOON) as clock:
        throttled(helpdesk)
        with pytest.raises(HelpdeskUnavailable):
            read(first)
        helpdesk.calls.clear()
        del helpdesk.instead["/api/tickets/4821"]
        for wait in (lambda: read(first), lambda: read(second), lambda: second.has_note("4821", "x")):
            with pytest.raises(HelpdeskUnavailable) as held:
                wait()
            assert held.value.after is not None
            assert 30 <= held.value.after < 61
        assert helpdesk.calls == []
        clock.tick(timedelta(seconds=32))
        assert read(second) == "4821"
        clock.tick(timedelta(seconds=2))
        assert read(first) == "4821"


def test_a_helpdesk_that_is_out_of_order_is_no_reason_to_wait(
    connect: Connect, helpdesk: SmallHelpdesk, rows: BrakeRows
) -> None:
    desk = braked(connect(), rows)
    with freeze_time(NOON):
        throttled(helpdesk, status=503)
        with pytest.raises(HelpdeskUnavailable):
            read(desk)
        del helpdesk.instead["/api/tickets/4821"]
        assert read(desk) == "4821"


def test_a_helpdesk_that_is_silent_holds_its_own_calls_for_as_long_as_it_was(
    connect: Connect, helpdesk: SmallHelpdesk, rows: BrakeRows
) -> None:
    """Otherwise a flood of deliveries for one that is away keeps every worker waiting, and no other is served."""
    desk, other = braked(connect(), rows), braked(connect(), rows)
    with freeze_time(NOON) as clock:

        def late() -> tuple[int, dict[str, str], list[bytes]]:
            clock.tick(timedelta(seconds=9))
            return 503, {}, [b"{}"]

        helpdesk.instead["/api/tickets/4821"] = [late]
        with pytest.raises(HelpdeskUnavailable):
            desk.ticket("4821", now=NOON)
        helpdesk.calls.clear()
        with pytest.raises(HelpdeskUnavailable):
            read(other)
        assert helpdesk.calls == []
        clock.tick(timedelta(seconds=9.5))
        del helpdesk.instead["/api/tickets/4821"]
        assert read(other) == "4821"
        clock.tick(timedelta(seconds=2))
        assert read(desk) == "4821"


def test_a_try_that_tells_nothing_does_not_keep_the_others_away(
    connect: Connect, helpdesk: SmallHelpdesk, rows: BrakeRows
) -> None:
    first, second = (braked(connect(), rows) for _ in range(2))
    with freeze_time(NOON) as clock:
        throttled(helpdesk)
        with pytest.raises(HelpdeskUnavailable):
            read(first)
        clock.tick(timedelta(seconds=32))
        throttled(helpdesk, status=503)
        with pytest.raises(HelpdeskUnavailable):
            read(first)
        del helpdesk.instead["/api/tickets/4821"]
        assert read(second) == "4821"


def test_it_can_do_what_its_helpdesk_can(connect: Connect, rows: BrakeRows) -> None:
    desk = braked(connect(), rows)
    assert isinstance(desk, ListsTickets)
    assert (desk.connection, desk.service_account) == ("desk", "77")

    class Silent:
        connection = "silent"

    silent = braked(Silent(), rows)  # type: ignore[arg-type]
    assert not isinstance(silent, ListsTickets | ProvesPresser)

    class Signing:
        connection = "signing"

        def presser(self, headers: object, form: object, *, now: datetime) -> Presser:  # noqa: ARG002
            return Presser("7", "4821")

    signing = braked(Signing(), rows)  # type: ignore[arg-type]
    assert isinstance(signing, ProvesPresser)
    assert signing.presser({}, {}, now=NOON) == Presser("7", "4821")


def test_notes_that_are_too_many_for_one_ticket_keep_no_other_from_being_read(
    connect: Connect, helpdesk: SmallHelpdesk, rows: BrakeRows
) -> None:
    desk = braked(connect(), rows)
    with freeze_time(NOON):
        helpdesk.instead["/api/tickets/4821/notes"] = [lambda: (429, {"Retry-After": "600"}, [b"{}"])]
        for _ in range(2):
            with pytest.raises(HelpdeskUnavailable):
                desk.write_note("4821", "x")
        assert [path for _, path in helpdesk.calls] == ["/api/tickets/4821/notes"]
        assert read(desk) == "4821"
