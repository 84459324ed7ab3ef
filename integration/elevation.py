"""The life of an elevation (one ticket's hold) and of an activation (the tenant's own fact). Pure.

The two tables of moves below are the only place that says what may follow what: the diagram in docs/, the labels on
pages and the property tests are derived from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from integration.marked import N_


class State(StrEnum):
    """An elevation's state."""

    OFFERED = "offered"  # the ticket shows the link; nothing starts before its technician clicks
    REQUESTED = "requested"  # a worker will plan it and ask for it
    SIGN_IN_NEEDED = "sign_in_needed"  # the technician must sign in with Microsoft first
    WAITING = "waiting"  # asked of the tenant, not active yet
    PENDING = "pending_approval"  # the tenant waits for an approver
    ACTIVE = "active"
    ENDING = "ending"  # let go; the role is being given back
    ENDED = "ended"
    REFUSED = "refused"  # the rules say no
    FAILED = "failed"  # the tenant says no
    CANCELLED = "cancelled"  # the ticket was solved, handed over or left alone before anything was active
    WATCHED = "watched"  # shadow mode: what would have been done is written down, and nothing is done


class ActivationState(StrEnum):
    ASKED = "asked"  # the intent is recorded; the tenant may or may not have it yet
    PENDING = "pending_approval"
    ACTIVE = "active"
    GIVING_BACK = "giving_back"
    GIVEN_BACK = "given_back"
    EXPIRED = "expired"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"  # the request was taken back before anybody decided it
    LEFT = "left"  # activated outside Ticket Elevate, and nobody of ours uses it any more


S = TypeVar("S", State, ActivationState)

MOVES: Mapping[State, frozenset[State]] = {
    State.OFFERED: frozenset({State.REQUESTED, State.SIGN_IN_NEEDED, State.CANCELLED}),
    State.REQUESTED: frozenset(
        {
            State.OFFERED,
            State.SIGN_IN_NEEDED,
            State.WAITING,
            State.PENDING,
            State.ACTIVE,
            State.REFUSED,
            State.FAILED,
            State.CANCELLED,
            State.WATCHED,
        }
    ),
    State.SIGN_IN_NEEDED: frozenset({State.OFFERED, State.REQUESTED, State.REFUSED, State.CANCELLED}),
    State.WAITING: frozenset(
        {
            State.REQUESTED,
            State.PENDING,
            State.ACTIVE,
            State.OFFERED,
            State.SIGN_IN_NEEDED,
            State.ENDING,
            State.FAILED,
            State.CANCELLED,
        }
    ),
    State.PENDING: frozenset({State.ACTIVE, State.REQUESTED, State.ENDING, State.FAILED, State.CANCELLED}),
    State.ACTIVE: frozenset({State.ENDING, State.ENDED}),
    State.ENDING: frozenset({State.ENDED}),
    State.ENDED: frozenset(),
    State.REFUSED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
    State.WATCHED: frozenset(),
}

ACTIVATION_MOVES: Mapping[ActivationState, frozenset[ActivationState]] = {
    ActivationState.ASKED: frozenset({ActivationState.PENDING, ActivationState.ACTIVE, ActivationState.FAILED}),
    ActivationState.PENDING: frozenset({ActivationState.ACTIVE, ActivationState.FAILED, ActivationState.WITHDRAWN}),
    ActivationState.ACTIVE: frozenset({ActivationState.GIVING_BACK, ActivationState.EXPIRED, ActivationState.LEFT}),
    ActivationState.GIVING_BACK: frozenset({ActivationState.GIVEN_BACK, ActivationState.EXPIRED}),
    ActivationState.GIVEN_BACK: frozenset(),
    ActivationState.EXPIRED: frozenset(),
    ActivationState.FAILED: frozenset(),
    ActivationState.WITHDRAWN: frozenset(),
    ActivationState.LEFT: frozenset(),
}

OPEN = frozenset(state for state, moves in MOVES.items() if moves)
OPEN_ACTIVATION = frozenset(state for state, moves in ACTIVATION_MOVES.items() if moves)
HOLDING = frozenset({State.WAITING, State.PENDING, State.ACTIVE})  # these keep an activation from being given back

LABELS: Mapping[State, str] = {
    State.OFFERED: N_("Ready to start"),
    State.REQUESTED: N_("Being prepared"),
    State.SIGN_IN_NEEDED: N_("Sign-in needed"),
    State.WAITING: N_("Asked of Entra"),
    State.PENDING: N_("Waiting for approval"),
    State.ACTIVE: N_("Active"),
    State.ENDING: N_("Being given back"),
    State.ENDED: N_("Ended"),
    State.REFUSED: N_("Refused by the rules"),
    State.FAILED: N_("Not activated"),
    State.CANCELLED: N_("Cancelled"),
    State.WATCHED: N_("Watched only"),
}


class EndReason(StrEnum):
    """Why an elevation let go."""

    SOLVED = "solved"
    HANDED_OVER = "handed_over"
    END_NOW = "end_now"
    TIME_UP = "time_up"
    TICKET_GONE = "ticket_gone"
    UNUSED = "unused"  # nobody clicked or signed in for a day
    OUTSIDE = "outside"  # the role was ended in the tenant, not by us
    WITHDRAWN = "withdrawn"  # the technician took the request back at Microsoft
    NOT_READY = "not_ready"  # the ticket is not what its rule requires any more
    BUNDLE = "bundle"  # another role of the same task was not given, and the rule wants all or none


END_WORDS: Mapping[EndReason, str] = {
    EndReason.SOLVED: N_("the ticket was solved"),
    EndReason.HANDED_OVER: N_("the ticket was handed over"),
    EndReason.END_NOW: N_("the technician ended it"),
    EndReason.TIME_UP: N_("the time was up"),
    EndReason.TICKET_GONE: N_("the ticket is gone"),
    EndReason.UNUSED: N_("nobody started it within a day"),
    EndReason.OUTSIDE: N_("the role was ended outside Ticket Elevate"),
    EndReason.WITHDRAWN: N_("the request was withdrawn in Entra"),
    EndReason.NOT_READY: N_("the ticket is not what its rule requires any more"),
    EndReason.BUNDLE: N_("another role that the task needs was not given"),
}

# How long a parked elevation waits for a person before it is cancelled.
PATIENCE = timedelta(hours=24)
# How long approvers have, which no tenant can change. Source: learn.microsoft.com/entra/id-governance/
# privileged-identity-management/pim-approval-workflow.
APPROVAL_PATIENCE = timedelta(hours=24)
# An act of the technician's that is older than this only offers the link: they may long be doing something else.
ACT_FRESHNESS = timedelta(minutes=15)
# An activation with less time left is not joined: nobody could ask for one that short.
LEAST_LEFT = timedelta(minutes=5)
# What was read of a ticket may be acted on for this long without reading it again.
TICKET_FRESHNESS = timedelta(seconds=30)
# A claimed row is looked at again after this long, so that a killed worker is a retry by itself.
LEASE = timedelta(seconds=60)


# The outcome of an activation that only its technician's sign-in can take further.
SIGN_IN_MISSING = "sign_in_missing"
# And of one that nobody needs any more before an approver decided: that its request is gone is our own doing.
WITHDRAWING = "withdrawing"


class IllegalMove(Exception):
    pass


@dataclass(frozen=True)
class Elevation:
    id: str
    connection: str
    ticket: str
    account: str
    pick: str
    state: State
    version: int
    due_at: datetime | None
    created_at: datetime
    # The technician's own act that it rests on: when they last picked, clicked or signed in; if they clicked.
    acted_at: datetime | None = None
    clicked: bool = False
    attempts: int = 0
    address: str | None = None
    tid: str | None = None
    oid: str | None = None
    technician: str | None = None
    rule: str | None = None
    target: str | None = None
    target_name: str | None = None
    duration_seconds: int | None = None
    justification: str | None = None
    activation: str | None = None
    active_at: datetime | None = None
    until: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str | None = None
    outcome: str | None = None
    analysis: str | None = None
    # Which of the rule's targets it is for, where one pick is for several; they share the pick.
    part: int = 0
    # The tenant's challenge (JSON) that its technician's next sign-in has to answer.
    challenge: str | None = None
    # How much longer its technician asked for: when its time is up, another elevation follows it.
    longer_seconds: int | None = None
    # Break glass: without a ticket, for a reason; whoever reviewed that, and when.
    emergency: bool = False
    reason: str | None = None
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None
    # When its ticket let go of the role, which may be given back later.
    let_go_at: datetime | None = None
    # An approver gave its role, and whether its ticket is still what its rule requires was not seen since.
    unchecked: bool = False

    @property
    def has_ticket(self) -> bool:
        """An elevation for an emergency has none, until its technician names one."""
        return bool(self.ticket)


def another(it: Elevation, elevation_id: str, *, now: datetime, **changes: Any) -> Elevation:
    """A new elevation of the same technician for the same ticket, of which nothing is planned yet; with `changes`."""
    who = ("connection", "ticket", "account", "address", "pick", "acted_at", "clicked", "tid", "oid", "technician")
    same = {name: getattr(it, name) for name in (*who, "rule", "part", "duration_seconds", "emergency", "reason")}
    new = {"id": elevation_id, "state": State.REQUESTED, "version": 1, "due_at": now, "created_at": now}
    return Elevation(**{**same, **new, **changes})


@dataclass(frozen=True)
class Activation:
    id: str
    tid: str
    oid: str
    target: str
    target_name: str
    state: ActivationState
    version: int
    due_at: datetime | None
    created_at: datetime
    duration_seconds: int
    justification: str
    ticket_number: str
    attempts: int = 0
    request_id: str | None = None
    schedule_id: str | None = None
    by_hand: bool = False
    started_at: datetime | None = None
    ends_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    # Since when an approver is waited for, and the tenant's name of that.
    pending_at: datetime | None = None
    approval_id: str | None = None
    # Since when a fresh token, and the rule's harmless read, showed that it can be used.
    usable_at: datetime | None = None
    probe: str | None = None
    revoke_sessions: bool = False


def by_its_end(it: Activation, at: datetime) -> datetime:
    """`at`, or when the role ends, if that comes first: then there is always something to see."""
    return min(at, it.ends_at or at)


def move(elevation: Elevation, to: State, *, due_at: datetime | None) -> Elevation:
    """Take one arrow of MOVES; raises IllegalMove for any other. Whatever is open must be looked at again."""
    if to not in MOVES[elevation.state]:
        raise IllegalMove(f"an elevation that is {elevation.state} cannot become {to}")
    if (due_at is None) == bool(MOVES[to]):
        raise IllegalMove(f"an elevation that is {to} must {'be' if MOVES[to] else 'not be'} looked at again")
    return replace(elevation, state=to, due_at=due_at, attempts=0)


def move_activation(activation: Activation, to: ActivationState, *, due_at: datetime | None) -> Activation:
    """Take one arrow of ACTIVATION_MOVES; raises IllegalMove for any other."""
    if to not in ACTIVATION_MOVES[activation.state]:
        raise IllegalMove(f"an activation that is {activation.state} cannot become {to}")
    if (due_at is None) == bool(ACTIVATION_MOVES[to]):
        raise IllegalMove(
            f"an activation that is {to} must {'be' if ACTIVATION_MOVES[to] else 'not be'} looked at again"
        )
    return replace(activation, state=to, due_at=due_at, attempts=0)


def give_back_at(activation: Activation, *, minimum: timedelta) -> datetime:
    """The earliest moment at which the tenant lets a technician give this role back (entra-id: five minutes)."""
    return (activation.started_at or activation.created_at) + minimum


def backoff(attempts: int, *, first: float = 1.0, most: float = 3600.0) -> timedelta:
    """How long to wait before try `attempts` + 1: doubled each time, an hour at most."""
    return timedelta(seconds=min(first * 2 ** min(max(attempts - 1, 0), 20), most))
