"""A flood of deliveries: what one reading answers is read once, and a busy connection lets others have their turn."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from integration.brake import PROBE
from integration.deployment import Deployment
from integration.elevation import ACT_FRESHNESS, EndReason, State
from integration.records import deliveries, overview
from integration.records.brake import BrakeRows
from integration.records.deliveries import Delivery
from integration.records.tables import brakes as brakes_table
from integration.records.tables import deliveries as table
from integration.tickets import ChangedTicket, Ticket, TicketEvent
from tests.conftest import Desk, Practice, settings_for
from tests.workers.steps import pick
from workers import app
from workers.run import Due, What

EVENT = TicketEvent("", "", "ticket.updated", "first")


@pytest.fixture
def deployment(practice: Practice, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Two connections to one helpdesk."""
    table = practice.facts["helpdesk"]
    both = {"busy": {**table, "secrets": {"first": "whsec_" + "b" * 40}}, "practice": table}
    made = Deployment(settings_for(practice, database_url, tmp_path, helpdesks=both))
    made.records.migrate()
    yield made
    made.records.dispose()


def keep(
    desk: Desk, ticket: str, number: int, *, connection: str = "practice", waits: bool = False, **more: Any
) -> str:
    event = replace(EVENT, delivery_id=f"{ticket}_{number}", ticket=ticket, **more)
    with desk.deployment.records.write() as tx:
        kept = deliveries.store(tx, connection, event, now=desk.now(), waits=waits)
    assert kept is not None
    return kept


def outcomes(desk: Desk) -> list[str | None]:
    with desk.deployment.records.read() as connection:
        return list(connection.execute(sa.select(table.c.outcome).order_by(table.c.id)).scalars())


def readings(practice: Practice, ticket: str) -> int:
    log = practice.log()["requests"]
    return sum(it["method"] == "GET" and it["path"] == f"/api/tickets/{ticket}" for it in log)


def test_twenty_deliveries_of_one_ticket_cost_one_reading_and_its_pick_starts(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    first, *_ = [keep(desk, ticket, number) for number in range(20)]
    other = keep(desk, practice.new_ticket(), 0)

    desk.step(Due(What.DELIVERY, first))

    assert desk.only(ticket).state is State.ACTIVE
    assert outcomes(desk) == ["done", *["read together with another one"] * 19, None]
    before = readings(practice, ticket)
    assert 1 <= before <= 2
    desk.sweep()
    assert readings(practice, ticket) == before
    desk.step(Due(What.DELIVERY, other))


def test_one_that_tells_of_another_revision_is_read_by_itself(desk: Desk, practice: Practice) -> None:
    ticket = practice.new_ticket()
    first = keep(desk, ticket, 0)
    keep(desk, ticket, 1, revision="7")

    desk.step(Due(What.DELIVERY, first))

    assert outcomes(desk) == ["done", None]


def test_one_that_comes_while_the_ticket_is_read_is_read_again(
    desk: Desk, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = practice.new_ticket()
    first = keep(desk, ticket, 0)
    helpdesk = desk.deployment.helpdesks["practice"]
    read = helpdesk.ticket

    def meanwhile(number: str, **how: object) -> Ticket:
        found = read(number, **how)  # type: ignore[arg-type]
        keep(desk, ticket, 1)
        return found

    monkeypatch.setattr(helpdesk, "ticket", meanwhile)
    desk.step(Due(What.DELIVERY, first))

    assert outcomes(desk) == ["done", None]


def test_one_that_another_worker_has_in_hand_is_left_to_it(desk: Desk, practice: Practice) -> None:
    ticket = practice.new_ticket()
    first, second = keep(desk, ticket, 0), keep(desk, ticket, 1)
    with desk.deployment.records.write() as tx:
        taken = deliveries.claim(tx, second, now=desk.now())

    desk.step(Due(What.DELIVERY, first))

    assert outcomes(desk) == ["done", None]
    with desk.deployment.records.write() as tx:
        assert taken is not None
        assert deliveries.finish(tx, taken, "done")


def test_a_call_that_shows_what_was_read_before_costs_no_reading(desk: Desk, practice: Practice) -> None:
    ticket = practice.new_ticket()
    desk.step(Due(What.DELIVERY, keep(desk, ticket, 0, fingerprint="a")))
    before = readings(practice, ticket)
    for number in (1, 2):
        desk.step(Due(What.DELIVERY, keep(desk, ticket, number, fingerprint="a")))
    assert readings(practice, ticket) == before
    assert outcomes(desk) == ["done", "it shows what was read before", "it shows what was read before"]

    desk.step(Due(What.DELIVERY, keep(desk, ticket, 3, fingerprint="b")))

    assert readings(practice, ticket) == 2 * before


def test_a_call_that_shows_the_same_behind_one_under_way_is_read(desk: Desk, practice: Practice) -> None:
    """Taken, given away and taken again: the second time is another pick, though the ticket looks the same."""
    ticket = practice.new_ticket()
    desk.step(Due(What.DELIVERY, keep(desk, ticket, 0, fingerprint="taken")))
    away = keep(desk, ticket, 1, fingerprint="away")
    with desk.deployment.records.write() as tx:
        assert deliveries.claim(tx, away, now=desk.now()) is not None  # its reading may have begun before the third

    desk.step(Due(What.DELIVERY, keep(desk, ticket, 2, fingerprint="taken")))

    assert outcomes(desk) == ["done", None, "done"]


def test_calls_that_wait_together_and_show_what_was_read_before_cost_no_reading(desk: Desk, practice: Practice) -> None:
    """Of a busy ticket there is always one more that waits."""
    ticket = practice.new_ticket()
    desk.step(Due(What.DELIVERY, keep(desk, ticket, 0, fingerprint="a")))
    before = readings(practice, ticket)
    waiting = [keep(desk, ticket, number, fingerprint="a") for number in range(1, 4)]

    for kept in waiting:
        desk.step(Due(What.DELIVERY, kept))

    assert readings(practice, ticket) == before
    assert outcomes(desk) == ["done", *[deliveries.SAME] * 3]


def test_a_call_that_another_receiver_kept_at_about_the_same_time_may_be_the_later_one(desk: Desk) -> None:
    """Two machines whose clocks differ name what they keep by their own: take, hand over, take."""
    desk.step(Due(What.DELIVERY, keep(desk, "1", 0, fingerprint="taken")))
    desk.advance(timedelta(seconds=2))
    keep(desk, "1", 1, fingerprint="away")  # by the clock that is ahead
    desk.advance(timedelta(seconds=-2))
    last = keep(desk, "1", 2, fingerprint="taken")
    with desk.deployment.records.read() as connection:
        rows = connection.execute(sa.select(table).where(table.c.id == last)).one()
        assert not deliveries.shown_before(connection, Delivery(**rows._mapping))


def test_what_a_poll_found_waits_for_what_was_called_and_yet_has_its_turn(desk: Desk) -> None:
    with desk.deployment.records.write() as tx:
        rows = [deliveries.found("practice", ChangedTicket(str(n), desk.now()), now=desk.now()) for n in range(3)]
        deliveries.store_all(tx, rows)
    desk.advance(timedelta(seconds=30))
    called = [keep(desk, "9", number) for number in range(2)]
    with desk.deployment.records.write() as tx:
        taken = [deliveries.claim_next(tx, ["busy", "practice"], now=desk.now()) for _ in range(2)]
        assert [it.id for it in taken if it] == called
        it = deliveries.claim_next(tx, ["busy", "practice"], now=desk.now())
        assert it is not None
        assert it.found
    with desk.deployment.records.write() as tx:
        keep_one = replace(EVENT, delivery_id="9_9", ticket="9")
        deliveries.store(tx, "practice", keep_one, now=desk.now())
        it = deliveries.claim_next(tx, ["busy", "practice"], now=desk.now(), found_first=True)
        assert it is not None
        assert it.found


def test_deliveries_are_forgotten_when_nobody_looks_at_them_any_more(desk: Desk, practice: Practice) -> None:
    ticket = practice.new_ticket(category="Something else")
    for number in range(2):  # the second is answered by the reading for the first
        keep(desk, ticket, number)
    desk.sweep()
    for name, event in {"idle": replace(EVENT, idle=True), "gone": EVENT}.items():
        with desk.deployment.records.write() as tx:
            deliveries.store(tx, name, replace(event, delivery_id=name, ticket=ticket), now=desk.now())

    def kept_after(days: int) -> list[str | None]:
        with desk.deployment.records.write() as tx:
            deliveries.forget(tx, desk.deployment.helpdesks, now=desk.now() + timedelta(days=days))
        return outcomes(desk)

    done, together, away = "done", "read together with another one", "its helpdesk is not connected any more"
    assert kept_after(0) == [done, together, None, away]
    assert kept_after(5) == [done, away]
    assert kept_after(36) == []


def test_what_polls_found_has_its_turn_although_a_helpdesk_leaves_little_time(
    desk: Desk, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run of the task ends with the helpdesk's minute, before it came to the tenth delivery."""
    monkeypatch.setattr(app, "deployment", lambda: desk.deployment)
    brakes = BrakeRows(desk.deployment.records)
    for number in range(40):
        keep(desk, practice.new_ticket(category="Something else"), number, waits=True)
    ticket = practice.new_ticket(category="Something else")
    with desk.deployment.records.write() as tx:
        found = deliveries.found("practice", ChangedTicket(ticket, desk.now()), now=desk.now() - timedelta(minutes=1))
        deliveries.store_all(tx, [found])
    go, worked = app.go, []

    def braked(*run: Any) -> None:
        go(*run)
        worked.append(run[1].id)
        if len(worked) % 3 == 0:
            brakes.hold("helpdesk:practice", datetime.now(UTC) + timedelta(seconds=30))

    monkeypatch.setattr(app, "go", braked)
    for _ in range(5):
        app.work_deliveries()
        with desk.deployment.records.write() as tx:
            tx.execute(brakes_table.delete())

    assert found["id"] in worked
    assert len(worked) == 15


def test_the_pick_of_a_quiet_connection_does_not_stand_behind_the_flood_of_another(
    desk: Desk, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "deployment", lambda: desk.deployment)
    desk.link()
    for number in range(30):
        keep(desk, practice.new_ticket(), number, connection="busy")
    ticket = practice.new_ticket()
    practice.assign(ticket)
    keep(desk, ticket, 0)

    app.work_deliveries()

    assert outcomes(desk) == ["done"] * 31
    log = practice.log()["requests"]
    read = [it["path"] for it in log if it["method"] == "GET" and it["path"].startswith("/api/tickets/")]
    first = [path.removeprefix("/api/tickets/") for path in dict.fromkeys(read)]
    assert first.index(ticket) <= 1  # by its age it was the last of 31
    assert desk.only(ticket).state is State.ACTIVE


def test_a_delivery_whose_helpdesk_asked_us_to_wait_keeps_its_place_and_its_tries(
    desk: Desk, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each look during a used-up minute puts all that waits into another order, and off for longer."""
    monkeypatch.setattr(app, "deployment", lambda: desk.deployment)
    brakes = BrakeRows(desk.deployment.records)
    ticket = practice.new_ticket()
    practice.assign(ticket)
    held, free = keep(desk, ticket, 0), keep(desk, practice.new_ticket(), 1, connection="busy")
    brakes.hold("helpdesk:practice", datetime.now(UTC) + timedelta(seconds=30))

    app.work_deliveries()

    assert outcomes(desk) == [None, "done"]
    with desk.deployment.records.read() as connection:
        found = {row.id: row.attempts for row in connection.execute(sa.select(table))}
    assert found == {held: 0, free: 1}
    assert readings(practice, ticket) == 0
    with desk.deployment.records.write() as tx:
        after = desk.now() + timedelta(seconds=31)
        taken = deliveries.claim_next(tx, ["busy", "practice"], now=after)
    assert taken is not None
    assert taken.id == held


def test_one_tries_a_helpdesk_after_it_asked_us_to_wait_and_the_others_keep_their_place(desk: Desk) -> None:
    brakes = BrakeRows(desk.deployment.records)
    keep(desk, "1", 0)
    over = desk.now() + timedelta(seconds=1)
    brakes.hold("helpdesk:practice", over)
    after = over + timedelta(seconds=1)
    assert brakes.probe("helpdesk:practice", now=after, until=after + PROBE)

    for now, found in ((after, False), (after + PROBE + timedelta(seconds=1), True)):
        with desk.deployment.records.write() as tx:
            assert (deliveries.claim_next(tx, ["practice"], now=now) is not None) is found


def taken(desk: Desk, *turns: str) -> str | None:
    with desk.deployment.records.write() as tx:
        it = deliveries.claim_next(tx, turns or ["practice"], now=desk.now())
    return it.id if it else None


@pytest.fixture
def offered(desk: Desk, practice: Practice) -> str:
    """A ticket that its technician did not take themselves."""
    ticket = practice.new_ticket()
    practice.assign(ticket, by="approver")
    desk.deliver(ticket)
    assert desk.only(ticket).state == State.OFFERED
    return ticket


def test_a_call_about_a_ticket_that_no_rule_is_for_waits_until_no_other_does(desk: Desk) -> None:
    waits, usual = keep(desk, "1", 0, waits=True), keep(desk, "2", 0)

    assert [taken(desk) for _ in range(3)] == [usual, waits, None]


def test_a_call_that_may_end_something_waits_for_no_other_one_and_before_no_other_one(
    desk: Desk, practice: Practice, offered: str
) -> None:
    """Its category was changed, so that no rule is for it any more; and then it was solved."""
    desk.link()
    held = pick(desk, practice)
    waits, first, second = keep(desk, "1", 0, waits=True), keep(desk, "2", 0), keep(desk, held, 0, waits=True)
    third, fourth = keep(desk, offered, 1, waits=True), keep(desk, "3", 0)

    assert [taken(desk) for _ in range(5)] == [first, second, third, fourth, waits]


def test_what_waits_for_a_ticket_on_which_something_was_opened_meanwhile_waits_no_longer(
    desk: Desk, practice: Practice
) -> None:
    desk.link()
    ticket = practice.new_ticket()
    late = keep(desk, ticket, 0, waits=True, revision="2")  # no reading of another state answers it
    other = keep(desk, "1", 0, waits=True)
    practice.assign(ticket)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.ACTIVE
    with desk.deployment.records.write() as tx:
        assert deliveries.let_go(tx, now=desk.now()) == 0
    usual = keep(desk, "2", 0)

    assert [taken(desk) for _ in range(4)] == [late, usual, other, None]


def test_what_waits_is_let_go_when_no_pick_would_start_by_itself_any_more(
    desk: Desk, practice: Practice, offered: str
) -> None:
    """Whether or not its helpdesk leaves any time: else a flood would grow without end."""
    other = practice.new_ticket(category="Something else")
    years = desk.now() + timedelta(days=999)
    in_hand, *kept = [keep(desk, other, number, waits=True, shown_at=years) for number in range(3)]
    keep(desk, other, 3)
    practice.solve(offered)
    keep(desk, offered, 1, waits=True)
    BrakeRows(desk.deployment.records).hold("helpdesk:practice", desk.now() + timedelta(hours=1))
    desk.advance(ACT_FRESHNESS - timedelta(seconds=1))
    keep(desk, other, 4, waits=True)

    def let_go() -> list[str]:
        with desk.deployment.records.write() as tx:
            deliveries.let_go(tx, now=desk.now())
            gone = table.c.outcome == deliveries.LET_GO
            return list(tx.execute(sa.select(table.c.id).where(gone, table.c.due_at.is_(None))).scalars())

    assert let_go() == []
    with desk.deployment.records.read() as connection:  # the usual one, and that of the offer: nothing hangs on others
        assert overview.late(connection, now=desk.now())["deliveries"] == 2
    desk.advance(timedelta(seconds=2))
    with desk.deployment.records.write() as tx:
        assert deliveries.claim(tx, in_hand, now=desk.now()) is not None
    assert let_go() == kept
    assert readings(practice, other) == 0
    with desk.deployment.records.read() as connection:  # whatever time it told, nothing was read
        assert set(connection.execute(sa.select(table.c.changed_at).where(table.c.id.in_(kept))).scalars()) == {None}
    desk.sweep()
    assert desk.only(offered).end_reason == EndReason.SOLVED


def test_what_a_call_tells_of_that_still_waits_is_not_found_once_more(desk: Desk) -> None:
    at = desk.now() - timedelta(seconds=5)
    keep(desk, "1", 0, shown_at=at)
    changes = [ChangedTicket("1", at), ChangedTicket("1", desk.now()), ChangedTicket("2", at)]
    with desk.deployment.records.read() as connection:
        assert deliveries.unread(connection, "practice", changes, told=True) == changes[1:]
        assert deliveries.unread(connection, "practice", changes) == changes
