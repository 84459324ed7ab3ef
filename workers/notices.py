"""Notices that are due. A chat server that is down delays them, and nothing else."""

from collections.abc import Iterable
from datetime import timedelta

from integration import notify
from integration.elevation import backoff
from integration.journal import Fact, Kind
from integration.notify import AddressRefused, NotSent
from integration.records import journal, notices
from integration.records.notices import Notice
from workers.run import Due, Run

GIVE_UP_AFTER = timedelta(days=1)  # an approver has as long; later, nobody is helped by it
FIRST_SECONDS = 10.0


def step(run: Run, due: Due) -> Iterable[Due]:
    notice = _take(run, due)
    if notice is None:
        return []
    kind, place = notice.address
    addresses = run.deployment.settings.notify.of(kind)
    if place > len(addresses):
        _give_up(run, notice, "Its address is not in the settings any more.", error="AddressGone")
        return []
    try:
        notify.send(addresses[place - 1], title=notice.title, text=notice.text)
    except (AddressRefused, NotSent) as error:
        _later(run, notice, error)
        return []
    with run.deployment.records.write() as tx:
        notices.finish(tx, notice, sent_at=run.now, outcome="sent")
    return []


def _take(run: Run, due: Due) -> Notice | None:
    """The notice, where it is due and may be tried now."""
    with run.deployment.records.write() as tx:
        notice = notices.claim(tx, due.id, now=run.now)
        if notice is None:
            return None
        held = notices.hold_until(tx, notice, now=run.now)
        if held is not None and run.now - notice.created_at < GIVE_UP_AFTER:
            notices.wait(tx, notice, held)
            return None
        notices.begin(tx, notice)
        return notice


def _later(run: Run, notice: Notice, error: AddressRefused | NotSent) -> None:
    if run.now - notice.created_at >= GIVE_UP_AFTER:
        _give_up(run, notice, str(error), error=type(error).__name__)
        return
    with run.deployment.records.write() as tx:
        wait = backoff(notice.attempts, first=FIRST_SECONDS)
        notices.postpone(tx, notice, now=run.now, by=wait, outcome=str(error))


def _give_up(run: Run, notice: Notice, outcome: str, *, error: str) -> None:
    kind, place = notice.address
    with run.deployment.records.write() as tx:
        if notices.finish(tx, notice, sent_at=None, outcome=outcome):
            facts: dict[str, Fact] = {"notice": str(kind), "address": place, "error": error}
            journal.append(
                tx, Kind.NOTICE_REFUSED, now=run.now, cause=run.cause, elevation=notice.elevation, facts=facts
            )
