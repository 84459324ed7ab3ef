"""One transaction of a step: rows change at once, journal entries and comments are written when it ends.

Locks are thereby taken in one order everywhere: activations, elevations, the journal. The journal is everybody's, so
it comes last and is held for the shortest time.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from integration import comments as words
from integration import notices as sentences
from integration.comments import Step
from integration.deployment import Deployment
from integration.elevation import Elevation, State, move
from integration.journal import Fact, Kind
from integration.notices import NoticeKind
from integration.records import comments, elevations, journal, notices
from workers import bundles
from workers.run import Due, Run, What

# How it is told that an elevation came into a state: the journal's kind of entry, and which comment it is.
TOLD: Mapping[State, tuple[Kind, Step]] = {
    State.OFFERED: (Kind.PICK_OFFERED, Step.OFFERED),
    State.SIGN_IN_NEEDED: (Kind.SIGNIN_NEEDED, Step.SIGN_IN),
    State.PENDING: (Kind.APPROVAL_ASKED, Step.APPROVAL),
    State.ACTIVE: (Kind.ACTIVATION_SEEN, Step.ACTIVE),
    State.ENDING: (Kind.ELEVATION_ENDING, Step.LETTING_GO),
    State.ENDED: (Kind.ELEVATION_ENDED, Step.ENDED),
    State.REFUSED: (Kind.PICK_REFUSED, Step.REFUSED),
    State.FAILED: (Kind.ELEVATION_FAILED, Step.FAILED),
    State.CANCELLED: (Kind.ELEVATION_CANCELLED, Step.CANCELLED),
    State.WATCHED: (Kind.PICK_WATCHED, Step.OFFERED),
}


@dataclass(frozen=True)
class _Entry:
    kind: Kind
    elevation: Elevation | None
    activation: str | None
    facts: Mapping[str, Fact]
    private: Mapping[str, str | None]
    step: Step | None
    text: str | None


class Change:
    """What one transaction does. `due` is what may go on at once when it is committed."""

    def __init__(self, run: Run, tx: sa.Connection) -> None:
        self.run, self.tx = run, tx
        self.due: list[Due] = []
        self._entries: list[_Entry] = []

    def settle(
        self,
        it: Elevation,
        to: State,
        *,
        due_at: datetime | None = None,
        text: str | None = None,
        facts: Mapping[str, Fact] | None = None,
        kind: Kind | None = None,
    ) -> None:
        """Move `it`, write it down, and say `text` on its ticket. Raises Overtaken and IllegalMove.

        Under a rule that only watches, whatever would become of one that is not asked for yet is written down alone.
        """
        if self._is_watched(it) and it.state is State.REQUESTED and to is not State.WATCHED:
            it = replace(it, outcome=words.watched_otherwise(to, it.outcome))
            to, due_at, text, kind = State.WATCHED, None, None, None
        changed = move(it, to, due_at=due_at)
        if to in (State.ENDING, State.ENDED):
            changed = replace(changed, let_go_at=changed.let_go_at or self.run.now)
        if due_at is None:
            changed = replace(changed, ended_at=changed.ended_at or self.run.now)
        changed = elevations.save_elevation(self.tx, changed)
        if bundles.concerns_others(changed):
            self.due += bundles.wake_others(self.tx, self.run, changed)
        usual, step = TOLD[to]
        moved = {"from": it.state, "to": to, **(facts or {})}
        self.record(kind or usual, elevation=changed, activation=it.activation, facts=moved, step=step, text=text)

    def open(
        self,
        it: Elevation,
        kind: Kind,
        *,
        facts: Mapping[str, Fact] | None = None,
        step: Step | None = None,
        text: str | None = None,
    ) -> None:
        """A new elevation for a ticket, and what made it. Raises IntegrityError where this pick has one already."""
        elevations.open_elevation(self.tx, it)
        digest = self.run.deployment.rules.digest
        whole = {"ticket": f"{it.connection}/{it.ticket}", "rule": it.rule, "rules_digest": digest, **(facts or {})}
        self.record(kind, elevation=it, facts=whole, private={"account": it.account}, step=step, text=text)

    def record(
        self,
        kind: Kind,
        *,
        elevation: Elevation | None = None,
        activation: str | None = None,
        facts: Mapping[str, Fact] | None = None,
        private: Mapping[str, str | None] | None = None,
        step: Step | None = None,
        text: str | None = None,
    ) -> None:
        """An entry for the journal, and the comment that goes with it."""
        if elevation is not None:
            private = {"actor": elevation.oid, **(private or {})}
        self._entries.append(_Entry(kind, elevation, activation, facts or {}, private or {}, step, text))

    def notify(self, kind: NoticeKind, elevation: Elevation) -> None:
        """Tell whoever is told of `kind` beyond the ticket. The sweep sends it: no run waits for a chat server."""
        deployment = self.run.deployment
        addresses = deployment.settings.notify.of(kind)
        if not addresses or self._is_watched(elevation):
            return
        helpdesk = deployment.helpdesks.get(elevation.connection)
        title = sentences.title(kind, elevation)
        text = sentences.text(
            kind,
            elevation,
            ticket_url=helpdesk.ticket_url(elevation.ticket) if helpdesk else None,
            link=_page_for(kind, deployment, elevation),
            approvals=f"{deployment.settings.public_url}/approvals",
        )
        for place in range(1, len(addresses) + 1):
            notices.add(self.tx, elevation, kind, place, title=title, text=text, now=self.run.now)

    def _is_watched(self, it: Elevation) -> bool:
        """What a rule began before it was told to watch only, and holds a role, is still told of."""
        return it.activation is None and not it.emergency and self.run.deployment.rules.watches(it.rule)

    def write(self) -> None:
        written: journal.Written | None = None
        for it in self._entries:
            written = journal.append(
                self.tx,
                it.kind,
                now=self.run.now,
                cause=self.run.cause,
                elevation=it.elevation.id if it.elevation else None,
                activation=it.activation,
                facts=it.facts,
                private=it.private,
                after=written,
            )
            if it.elevation is not None and it.step is not None and it.text is not None:
                self._say(it.elevation, it.step, it.text, written.witness)

    def _say(self, elevation: Elevation, step: Step, text: str, witness: str) -> None:
        if not elevation.has_ticket or self._is_watched(elevation):
            return
        name = comments.name_of(self.tx, elevation.id, step)
        whole = words.with_witness(text, elevation.id, name, witness)
        run = self.run
        added = comments.add(self.tx, elevation, name, whole, now=run.now, claimed=run.goes_on)
        self.due.append(run.due(What.COMMENT, added))


def _page_for(kind: NoticeKind, deployment: Deployment, elevation: Elevation) -> str:
    """Technicians look at their elevation; who is told of a break glass reviews it."""
    if kind is NoticeKind.BREAK_GLASS:
        return f"{deployment.settings.public_url}/review/{elevation.id}"
    return deployment.link(elevation.id)


@contextmanager
def change(run: Run) -> Iterator[Change]:
    with run.deployment.records.write() as tx:
        changed = Change(run, tx)
        yield changed
        changed.write()
