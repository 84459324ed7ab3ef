"""Usable, and not just active: a token made after the role became active, and the harmless read that its rule names."""

from dataclasses import replace
from datetime import datetime, timedelta

from integration import comments as words
from integration.comments import Step
from integration.elevation import Activation, backoff, by_its_end
from integration.entra.errors import EntraError, EntraRefused, EntraUnavailable, SignInNeeded
from integration.journal import Kind
from integration.records import elevations
from integration.targets import Probe
from workers.change import change
from workers.run import Due, Run
from workers.watching import next_look

FIRST_LOOK = timedelta(seconds=1)
SLOWEST_LOOK = 30.0
# How long a role may take to count everywhere: users saw 5 to 15 minutes, at worst 20.
LAG = timedelta(minutes=20)


def wanted(it: Activation) -> bool:
    """Whether it is still to be found out. What was activated by hand is its technician's own business."""
    return it.usable_at is None and it.outcome is None and it.started_at is not None and not it.by_hand


def due_at(run: Run, it: Activation) -> datetime:
    """When one that is active is looked at next: whether it can be used, then whether it is still there; its end."""
    return by_its_end(it, run.now + FIRST_LOOK if wanted(it) else next_look(run, it))


def look(run: Run, it: Activation) -> list[Due]:
    """One try. Raises EntraUnavailable."""
    assert it.started_at is not None
    try:
        run.deployment.tenant.fresh(it.tid, it.oid, run.now, Probe(it.probe) if it.probe else None)
    except EntraUnavailable:
        raise
    except SignInNeeded:
        # A Conditional Access policy may be aimed at the role itself: it bites once the role is there.
        return _say(run, replace(it, outcome="sign_in"), words.use_needs_sign_in(it))
    except EntraRefused as refused:
        if refused.status == 403 and run.now < it.started_at + LAG:
            return _later(run, it)
        return _say(run, replace(it, outcome="not_seen"), words.not_usable(it, LAG))
    except EntraError:
        return _say(run, replace(it, outcome="setup"), None)
    usable = replace(it, usable_at=run.now)
    return _say(run, usable, words.usable(usable, run.deployment.settings.zone))


def _later(run: Run, it: Activation) -> list[Due]:
    pause = backoff(it.attempts, first=2, most=SLOWEST_LOOK)
    with run.deployment.records.write() as tx:
        elevations.save_activation(tx, replace(it, due_at=by_its_end(it, run.now + pause)))
    return []


def _say(run: Run, it: Activation, text: str | None) -> list[Due]:
    kept = replace(it, due_at=due_at(run, it), attempts=0)
    with change(run) as changed:
        elevations.save_activation(changed.tx, kept)
        facts = {"target": it.target, "probe": it.probe, "usable": it.usable_at is not None}
        for elevation in elevations.holders(changed.tx, it.id):
            changed.record(
                Kind.ACTIVATION_USABLE,
                elevation=elevation,
                activation=it.id,
                facts=facts,
                step=Step.USABLE,
                text=text,
            )
    return changed.due
