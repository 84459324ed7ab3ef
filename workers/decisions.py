"""What an approver decided on our page: written down, said on every ticket that waits, and followed at once."""

from dataclasses import dataclass, replace
from datetime import datetime

from integration import comments as words
from integration.comments import Step
from integration.elevation import Activation, ActivationState
from integration.journal import Fact, Kind
from integration.records import elevations
from workers.change import change
from workers.run import Due, Run, What


@dataclass(frozen=True)
class Decision:
    """What the tenant took of the approver `who`. `words` are theirs, cleaned; `oid` is their own."""

    approved: bool
    who: str
    oid: str
    words: str
    at: datetime


def record(run: Run, activation: Activation, it: Decision) -> list[Due]:
    """Write it down, say it on each ticket that waits, and look at once what became of the request."""
    text = words.decided(it.who, it.words, it.at, run.deployment.settings.zone, approved=it.approved)
    facts: dict[str, Fact] = {"decision": "approved" if it.approved else "denied", "request": activation.request_id}
    private = {"actor": it.oid, "words": it.words}
    with change(run) as changed:
        locked = elevations.lock_activation(changed.tx, activation.id)
        waiting = elevations.on_activation(changed.tx, activation.id)
        for each in waiting:
            changed.record(
                Kind.APPROVAL_DECIDED,
                elevation=each,
                activation=activation.id,
                facts=facts,
                private=private,
                step=Step.DECIDED,
                text=text,
            )
        if not waiting:
            changed.record(Kind.APPROVAL_DECIDED, activation=activation.id, facts=facts, private=private)
        if locked is not None and locked.state is ActivationState.PENDING:
            elevations.save_activation(changed.tx, replace(locked, due_at=run.now))
    return [*changed.due, Due(What.ACTIVATION, activation.id)]
