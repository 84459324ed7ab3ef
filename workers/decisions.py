"""What an approver decided on our page: written down, said on every ticket that waits, and followed at once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from integration import comments as words
from integration.comments import Step
from integration.elevation import Activation, ActivationState, Elevation
from integration.entra.pim import Approval
from integration.journal import Fact, Kind
from integration.records import elevations
from integration.tickets import clean
from workers.change import Change, change
from workers.run import Due, Run, What


@dataclass(frozen=True)
class Decision:
    """What the tenant took of the approver `who`. `words` are theirs, cleaned; `oid` is their own."""

    approved: bool
    who: str
    oid: str
    words: str
    at: datetime


def intend(run: Run, activation: Activation, it: Decision) -> Sequence[Elevation]:
    """Write down what the approver is about to tell the tenant. What waits for it: no worker that sees the decision
    first, and ends them, may keep it off their tickets.
    """
    with change(run) as changed:
        waiting = elevations.on_activation(changed.tx, activation.id)
        _write(changed, Kind.APPROVAL_INTENDED, activation, waiting, it)
    return waiting


def outside(run: Run, kind: Kind, request: Approval, it: Decision) -> None:
    """Write down `kind` of a decision about a request that was made outside Ticket Elevate: no ticket waits for it."""
    role = clean(request.target_name, limit=200)
    with change(run) as changed:
        changed.record(kind, facts=_facts(request.request_id, it), private={**_private(it), "role": role})


def record(run: Run, activation: Activation, waited: Sequence[Elevation], it: Decision) -> list[Due]:
    """The tenant took it: say so on each ticket that waits or has `waited`, and look what became of the request."""
    text = words.decided(it.who, it.words, it.at, run.deployment.settings.zone, approved=it.approved)
    with change(run) as changed:
        locked = elevations.lock_activation(changed.tx, activation.id)
        told = {each.id: each for each in (*waited, *elevations.on_activation(changed.tx, activation.id))}
        _write(changed, Kind.APPROVAL_DECIDED, activation, told.values(), it, text=text)
        if locked is not None and locked.state is ActivationState.PENDING:
            elevations.save_activation(changed.tx, replace(locked, due_at=run.now))
    return [*changed.due, Due(What.ACTIVATION, activation.id)]


def _write(
    changed: Change,
    kind: Kind,
    activation: Activation,
    of: Collection[Elevation],
    it: Decision,
    *,
    text: str | None = None,
) -> None:
    """For each elevation that it is about, with what its ticket is told; once where there is none."""
    for each in of or (None,):
        changed.record(
            kind,
            elevation=each,
            activation=activation.id,
            facts=_facts(activation.request_id, it),
            private=_private(it),
            step=Step.DECIDED if text else None,
            text=text,
        )


def _facts(request_id: str | None, it: Decision) -> Mapping[str, Fact]:
    return {"decision": "approved" if it.approved else "denied", "request": request_id}


def _private(it: Decision) -> Mapping[str, str | None]:
    return {"actor": it.oid, "words": it.words}
