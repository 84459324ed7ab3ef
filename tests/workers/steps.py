"""What the stories of this folder are made of."""

from datetime import timedelta
from typing import Any

import requests
import sqlalchemy as sa

from integration.elevation import Activation, EndReason
from integration.records import elevations
from integration.records.tables import activations
from integration.targets import Target, TargetKind
from tests.conftest import Desk, Practice
from workers.ending import let_go
from workers.run import Run

PASSWORD_ADMINISTRATOR = Target(TargetKind.DIRECTORY_ROLE, "966707d0-3269-4727-9be2-8c3a10f19b9d", "/")


def pick(desk: Desk, practice: Practice, **ticket: Any) -> str:
    """A new ticket that the technician assigned to themselves, and the delivery about it."""
    number = practice.new_ticket(**ticket)
    practice.assign(number)
    desk.deliver(number)
    return number


def end_now(desk: Desk, ticket: str) -> None:
    for it in desk.elevations(ticket):
        for due in let_go(Run(desk.deployment, cause="click", clock=desk.now), it.id, EndReason.END_NOW):
            desk.step(due)


def by_hand(
    desk: Desk,
    practice: Practice,
    *,
    duration: timedelta = timedelta(hours=1),
    target: Target = PASSWORD_ADMINISTRATOR,
) -> None:
    """The technician activates the role in a portal."""
    desk.deployment.tenant.activate(
        practice.facts["tenant_id"],
        practice.people["technician"]["oid"],
        desk.now(),
        target=target,
        duration=duration,
        justification="By hand",
        ticket_number="1",
        ticket_system="Other",
        asked_as="00000000-0000-4000-8000-000000000000",
    )


def wait_for(desk: Desk, by: timedelta, *, steps: int = 1) -> None:
    for _ in range(steps):
        desk.advance(by)
        desk.sweep()


def said(practice: Practice, ticket: str, words: str) -> int:
    """How many notes of the ticket hold these words."""
    return sum(words in note for note in practice.notes(ticket))


def activations_of(desk: Desk) -> list[Activation]:
    """All of them, the oldest first."""
    with desk.deployment.records.read() as connection:
        ids = connection.execute(sa.select(activations.c.id).order_by(activations.c.created_at)).scalars().all()
        found = [elevations.activation(connection, name) for name in ids]
    return [it for it in found if it is not None]


def fault(practice: Practice, kind: str, *, method: str = "", path: str = "", side: str = "", **more: Any) -> None:
    practice.control("/faults", {"match": {"method": method, "path": path, "side": side}, "kind": kind, **more})


def mend(practice: Practice) -> None:
    requests.delete(f"{practice.facts['practice_url']}/_practice/faults", timeout=10).raise_for_status()
