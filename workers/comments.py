"""Comments that are due. A helpdesk that is down delays them, and nothing else."""

from collections.abc import Iterable
from datetime import timedelta

from integration.comments import marker
from integration.elevation import LEASE, backoff
from integration.journal import Fact, Kind
from integration.records import comments, journal
from integration.records.comments import Comment
from integration.tickets import HelpdeskError, HelpdeskRefused, HelpdeskUnavailable, TicketGone
from workers.run import Due, Run

REFUSED_TRIES = 24  # an administrator has a day to mend our rights before a comment is given up


def step(run: Run, due: Due) -> Iterable[Due]:
    comment = run.take(due, Comment, comments.claim)
    if comment is None:
        return []
    try:
        helpdesk = run.helpdesk(comment.connection)
        # After an unknown outcome the note may stand there already.
        if comment.attempts > 1 and helpdesk.has_note(comment.ticket, marker(comment.elevation, comment.step)):
            return _written(run, comment)
        if comment.attempts > 1 and not _still_ours(run, comment):
            return []
        helpdesk.write_note(comment.ticket, comment.text)
    except HelpdeskError as error:
        _later(run, comment, error)
        return []
    return _written(run, comment)


def _written(run: Run, comment: Comment) -> list[Due]:
    with run.deployment.records.write() as tx:
        comments.settle(tx, comment, written_at=run.now, due_at=None, outcome="written")
    return []


def _still_ours(run: Run, comment: Comment) -> bool:
    """Looking through a long ticket takes longer than a lease: take a new one before writing, unless another has it."""
    with run.deployment.records.write() as tx:
        return comments.postpone(tx, comment, now=run.now, by=LEASE, outcome="about to be written")


def _later(run: Run, comment: Comment, error: HelpdeskError) -> None:
    gone = isinstance(error, TicketGone)
    hopeless = isinstance(error, HelpdeskRefused) and comment.attempts >= REFUSED_TRIES
    wait = backoff(comment.attempts) if error.try_again else timedelta(hours=1)
    if isinstance(error, HelpdeskUnavailable) and error.after is not None:
        wait = max(wait, timedelta(seconds=error.after))
    with run.deployment.records.write() as tx:
        if not (gone or hopeless):
            comments.postpone(tx, comment, now=run.now, by=wait, outcome=str(error))
        elif comments.settle(tx, comment, written_at=None, due_at=None, outcome=str(error)):
            facts: dict[str, Fact] = {"step": comment.step, "error": type(error).__name__}
            journal.append(
                tx, Kind.COMMENT_REFUSED, now=run.now, cause=run.cause, elevation=comment.elevation, facts=facts
            )
