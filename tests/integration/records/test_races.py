"""Two at the same moment, on both databases: one wins, the other learns it, nothing is lost.

Threads meet at a barrier; whatever order the database then picks, the same must come out.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from integration import verify
from integration.elevation import LEASE, Activation, ActivationState, Elevation, State
from integration.journal import Kind
from integration.records import comments, deliveries, elevations, journal, people
from integration.records.elevations import Overtaken
from integration.records.store import Records
from integration.records.tables import activations
from integration.tickets import TicketEvent

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PATIENCE = 30  # seconds, for a barrier on a loaded machine


def elevation(number: str = "E1", **more: Any) -> Elevation:
    given = {"state": State.REQUESTED, "version": 1, "due_at": NOON, "created_at": NOON, **more}
    return Elevation(id=number, connection="practice", ticket=number, account="technician", pick=number, **given)


def activation(number: str = "A1", **more: Any) -> Activation:
    given = {"state": ActivationState.ASKED, "version": 1, "due_at": NOON, "created_at": NOON, **more}
    return Activation(
        number,
        "T",
        "O",
        "directory_role:R:/",
        "Role",
        duration_seconds=1800,
        justification="why",
        ticket_number="4821",
        **given,
    )


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """`work(0)`, `work(1)`, ... started together; what each gave back, or the error that it met."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait(PATIENCE)
        try:
            return work(number)
        except (sa.exc.IntegrityError, Overtaken) as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [f.result(PATIENCE) for f in [pool.submit(one, number) for number in range(count)]]


def test_one_of_many_claims_a_due_row_and_it_comes_back_after_the_lease(records: Records) -> None:
    with records.write() as tx:
        elevations.open_elevation(tx, elevation())
        elevations.open_activation(tx, activation())
        assert comments.add(tx, elevation(), "active", "words", now=NOON, claimed=False)
        event = TicketEvent("msg_1", "4821", "ticket.assigned", "first")
        delivery = deliveries.store(tx, "practice", event, now=NOON)
        said = comments.of_elevation(tx, "E1")[0].id
    assert delivery is not None
    claims: list[Callable[..., Any]] = [
        lambda tx, now: elevations.claim_elevation(tx, "E1", now=now),
        lambda tx, now: elevations.claim_activation(tx, "A1", now=now),
        lambda tx, now: comments.claim(tx, said, now=now),
        lambda tx, now: deliveries.claim(tx, delivery, now=now),
    ]
    for claim in claims:

        def take(_: int, claim: Callable[..., Any] = claim) -> Any:
            with records.write() as tx:
                return claim(tx, NOON)

        won = [it for it in at_once(6, take) if it is not None]
        assert len(won) == 1
        assert (won[0].attempts, won[0].due_at) == (1, NOON + LEASE)
        with records.write() as tx:
            assert claim(tx, NOON + LEASE - timedelta(seconds=1)) is None
            again = claim(tx, NOON + LEASE)
        assert again is not None
        assert again.attempts == 2


def test_one_of_many_saves_over_the_same_version_and_the_others_are_told(records: Records) -> None:
    with records.write() as tx:
        elevations.open_elevation(tx, elevation())
        elevations.open_activation(tx, activation())

    def save(number: int) -> Any:
        with records.write() as tx:
            elevations.save_activation(tx, replace(activation(), outcome=str(number)))
            return elevations.save_elevation(tx, replace(elevation(), outcome=str(number)))

    found = at_once(6, save)

    (won,) = [it for it in found if isinstance(it, Elevation)]
    assert sum(isinstance(it, Overtaken) for it in found) == 5
    with records.read() as connection:
        stored, held = elevations.elevation(connection, "E1"), elevations.activation(connection, "A1")
    assert stored == won
    assert held is not None
    assert held.outcome == won.outcome, "one transaction was kept in part"


def test_a_technician_has_one_open_activation_of_a_role_and_a_new_one_after_it_ended(records: Records) -> None:
    def open_one(number: int) -> str:
        with records.write() as tx:
            elevations.open_activation(tx, activation(f"A{number}"))
        return f"A{number}"

    found = at_once(6, open_one)

    (won,) = [it for it in found if isinstance(it, str)]
    assert sum(isinstance(it, sa.exc.IntegrityError) for it in found) == 5
    with records.write() as tx:
        mine = replace(activation(won), state=ActivationState.FAILED, due_at=None)
        elevations.save_activation(tx, mine)
        elevations.open_activation(tx, activation("A9"))


def test_a_pick_has_one_elevation(records: Records) -> None:
    """Threat 4."""

    def pick(number: int) -> str:
        with records.write() as tx:
            elevations.open_elevation(tx, replace(elevation(f"E{number}"), ticket="4821", pick="h7"))
        return f"E{number}"

    assert sum(isinstance(it, str) for it in at_once(6, pick)) == 1


def test_a_delivery_is_kept_once_however_often_it_comes_at_once(records: Records) -> None:
    """Threat 2."""
    event = TicketEvent("msg_1", "4821", "ticket.assigned", "first")

    def keep(_: int) -> str | None:
        with records.write() as tx:
            return deliveries.store(tx, "practice", event, now=NOON)

    assert len([it for it in at_once(6, keep) if it is not None]) == 1


def test_an_answer_of_the_tenant_may_be_kept_by_many_at_once(records: Records) -> None:
    def keep(number: int) -> None:
        with records.write() as tx:
            people.keep_answer(tx, "T", "O", "policy:R", str(number), now=NOON)

    assert at_once(6, keep) == [None] * 6
    with records.read() as connection:
        assert people.answers(connection, "T", "O", newer_than=NOON - timedelta(seconds=1))["policy:R"] in set("012345")
        assert people.answers(connection, "T", "O", newer_than=NOON) == {}


def test_a_give_back_and_a_join_in_the_same_moment_see_each_other(records: Records) -> None:
    """Either the role is kept for who joined, or who would join finds it on its way out: never both unseen."""
    for turn in range(8):
        number, holder = f"A{turn}", f"E{turn}"
        with records.write() as tx:
            elevations.open_activation(tx, activation(number, state=ActivationState.ACTIVE))
            elevations.open_elevation(tx, elevation(holder))

        def give_back_or_join(which: int, number: str = number, holder: str = holder) -> str:
            with records.write() as tx:
                if which:
                    found = elevations.lock_open_activation_of(tx, "T", "O", "directory_role:R:/")
                    if found is None or found.state is not ActivationState.ACTIVE:
                        return "too late"
                    joined = replace(elevation(holder), state=State.ACTIVE, activation=number)
                    elevations.save_elevation(tx, joined)
                    return "joined"
                it = elevations.lock_activation(tx, number)
                assert it is not None
                if elevations.holders(tx, number):
                    return "kept"
                elevations.save_activation(tx, replace(it, state=ActivationState.GIVING_BACK))
                return "leaving"

        assert sorted(at_once(2, give_back_or_join)) in (["joined", "kept"], ["leaving", "too late"])
        with records.write() as tx:
            tx.execute(activations.update().values(state="given_back", due_at=None))


def test_parallel_writers_number_the_journal_without_gaps_and_the_chain_verifies(records: Records) -> None:
    def write(number: int) -> list[int]:
        numbers = []
        for turn in range(8):
            with records.write() as tx:
                facts = {"writer": number, "turn": turn}
                written = journal.append(
                    tx, Kind.PICK_PLANNED, now=NOON, cause="sweep", facts=facts, private={"actor": f"oid-{number}"}
                )
                numbers.append(written.seq)
        return numbers

    found = at_once(6, write)

    assert sorted(seq for numbers in found for seq in numbers) == list(range(1, 49))
    assert all(numbers == sorted(numbers) for numbers in found)
    with records.read() as connection:
        report = verify.verify(list(journal.export(connection)))
    assert report.ok, verify.render(report)
