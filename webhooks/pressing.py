"""What a press of Elevate needs to know, and what it does, wherever the button is: on our page or in a helpdesk's."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import sqlalchemy as sa
from ulid import ULID

from integration.elevation import Elevation, State, move
from integration.entra.pim import Policy
from integration.journal import Kind
from integration.records import deliveries, elevations, journal
from integration.records.elevations import Overtaken
from integration.records.people import Link
from integration.rules import Plan, Refusal
from integration.tickets import Ticket, TicketEvent
from webhooks import current, linking
from webhooks.claims import Claim, NoClaim, look_up
from webhooks.people import Viewer
from workers.app import wake
from workers.deciding import decide_all, policy_of
from workers.deliveries import CLICK
from workers.run import Due, What

SHORTEST = 300  # seconds of an activation


@dataclass(frozen=True)
class Asked:
    """What must be known before the button is pressed."""

    ticket: Ticket
    offer: Elevation  # the open offer of this ticket, or what would be opened
    decision: Plan | Refusal
    # What the tenant asks for each role that is planned, by its name; None where it does not tell.
    policies: tuple[tuple[str, Policy | None], ...]
    link: Link | None  # what the button makes first, where the technician's account is not linked yet


@dataclass(frozen=True)
class IsOn:
    """There is nothing to press: it was pressed already."""

    elevation: Elevation


@dataclass(frozen=True)
class LinkFirst:
    """The technician's account is linked on a page of its own before anything else."""


def look(viewer: Viewer, connection: str, number: str) -> Asked | IsOn | LinkFirst | NoClaim:
    """Read the ticket and ask the rules on behalf of the viewer. Changes nothing.

    Raises EntraError where the tenant has to be asked and does not answer.
    """
    now = datetime.now(UTC)
    found = look_up(viewer, connection, number)
    if isinstance(found, NoClaim):
        return found
    ticket, account = found.ticket, found.technician.account
    link = None if found.linked else linking.wanted(viewer, connection, account, found.technician.address, now)
    with current.deployment().records.read() as reading:
        held = _held(reading, ticket, account)
        used = elevations.of_pick(reading, connection, ticket.number, account, ticket.pick)
    waits = held is not None and held.state is State.SIGN_IN_NEEDED
    if link is not None and (waits or linking.live_in_the_way(link)):
        return LinkFirst()
    if held is not None and held.state is not State.OFFERED:
        return IsOn(held)
    offer = held or _new(viewer, found, now, again=used is not None)
    if used is None:
        offer = replace(offer, pick=ticket.pick)
    offer = replace(offer, tid=viewer.tid, oid=viewer.oid, technician=viewer.name)
    answers = decide_all(found.run, offer, ticket)
    plans = [answer for answer in answers if isinstance(answer, Plan)]
    policies = tuple((plan.target_name, policy_of(found.run, offer, plan.target)) for plan in plans)
    return Asked(ticket, offer, plans[0] if plans else answers[0], policies, link)


def _held(reading: sa.Connection, ticket: Ticket, account: str) -> Elevation | None:
    """The elevation that is on for this technician's ticket; there is one at most, besides those that are ending."""
    on = elevations.open_on_ticket(reading, ticket.connection, ticket.number)
    return next((it for it in on if it.account == account and it.state is not State.ENDING), None)


def _new(viewer: Viewer, found: Claim, now: datetime, *, again: bool) -> Elevation:
    """What a click opens. The first one uses the assignment up: a later delivery about it starts nothing."""
    ticket = found.ticket
    return Elevation(
        id=str(ULID()),
        connection=ticket.connection,
        ticket=ticket.number,
        account=found.technician.account,
        address=found.technician.address,
        pick=another_pick(ticket) if again else ticket.pick,
        state=State.REQUESTED,
        version=1,
        due_at=now,
        created_at=now,
        tid=viewer.tid,
        oid=viewer.oid,
        technician=viewer.name,
        acted_at=now,
        clicked=True,
    )


def another_pick(ticket: Ticket) -> str:
    """The name of a click for an assignment that was used up: of one that the history does not tell, beside its own."""
    return f"{CLICK}{ULID()}" if ticket.change is not None else f"{ticket.pick[:100]}:{ULID()}"


def shown(asked: Asked) -> str:
    """What the technician agrees to by the button: a hash that comes back with the press."""
    plan, link = asked.decision, asked.link
    assert isinstance(plan, Plan)
    linked = f"{link.account} {link.address} " if link else ""
    linked += repr(asked.policies)
    words = (plan.rule, plan.target.key, plan.justification, str(plan.duration), current.deployment().rules.digest)
    return hashlib.sha256("\n".join((*words, linked)).encode()).hexdigest()


def press(asked: Asked, *, seconds: int | None = None, proof: TicketEvent | None = None) -> Elevation | None:
    """Write down that this technician asked for it, and wake a worker. `seconds`: no more than the plan allows.

    `proof`: what a helpdesk signed of the press. It is kept with it, and starts nothing a second time.
    None where a second press, another tab or a delivery was first; whoever looks again sees what that started.
    """
    plan = asked.decision
    assert isinstance(plan, Plan)
    offer = replace(asked.offer, duration_seconds=_duration(plan, seconds), rule=plan.rule)
    try:
        _commit(offer, proof, datetime.now(UTC))
    except (sa.exc.IntegrityError, Overtaken):
        return None
    wake(Due(What.ELEVATION, offer.id))
    return offer


def _duration(plan: Plan, seconds: int | None) -> int:
    most = int(plan.duration.total_seconds())
    return min(seconds, most) if seconds is not None and seconds >= SHORTEST else most


def _commit(offer: Elevation, proof: TicketEvent | None, now: datetime) -> None:
    """Raises IntegrityError or Overtaken when somebody was first."""
    deployment = current.deployment()
    with deployment.records.write() as tx:
        if proof is not None and deliveries.store(tx, offer.connection, proof, now=now) is None:
            raise Overtaken(offer.id)
        if offer.state is State.OFFERED:
            clicked = replace(offer, acted_at=now, clicked=True)
            elevations.save_elevation(tx, move(clicked, State.REQUESTED, due_at=now))
        else:
            elevations.open_elevation(tx, offer)
        facts = {
            "ticket": f"{offer.connection}/{offer.ticket}",
            "rule": offer.rule,
            "rules_digest": deployment.rules.digest,
            "duration_seconds": offer.duration_seconds,
        }
        journal.append(
            tx,
            Kind.PICK_PLANNED,
            now=now,
            cause="click",
            elevation=offer.id,
            facts=facts if proof is None else {**facts, "proof": proof.delivery_id},
            private={"actor": offer.oid, "account": offer.account},
        )
