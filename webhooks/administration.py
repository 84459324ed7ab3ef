"""The administrators' pages: whether everything is well, what rules did, whose sign-ins are kept.

Settings stay in files, and nothing here shows one's value: each section names the file, and the key in it.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from integration import rules as rules_module
from integration import settings
from integration.records import administration as records
from integration.records import examinations, heartbeats, journal, signins
from integration.records.administration import Did
from integration.records.signins import Health, Kept, Person
from integration.rule import Mode
from integration.rules import Rule
from integration.tickets import clean
from webhooks import current
from webhooks.linking import proof_wanted
from webhooks.people import Viewer, administrator
from webhooks.problems import page
from workers.app import wake
from workers.doctor import queued
from workers.run import Due, What

blueprint = Blueprint("administration", __name__, url_prefix="/administration")
LATELY = timedelta(days=30)
MOST = 100  # sign-ins on the page
SWEPT = timedelta(minutes=1)  # a sweep that is older than this is one too few
PATIENCE = 0.5  # seconds, for a Redis that may be away


class Pulse(StrEnum):
    """What the last sweep and the queue say of beat, queue and workers."""

    WORKS = "works"
    QUEUE_AWAY = "queue_away"
    NO_WORKER = "no_worker"  # messages wait, and nobody takes them
    NO_BEAT = "no_beat"  # nothing waits, so nobody asks for sweeps


def pulse(swept: datetime | None, waiting: int | None, now: datetime) -> Pulse:
    if swept is not None and now - swept <= SWEPT:
        return Pulse.WORKS
    if waiting is None:
        return Pulse.QUEUE_AWAY
    return Pulse.NO_WORKER if waiting else Pulse.NO_BEAT


@blueprint.get("")
@administrator
def show(viewer: Viewer) -> str:
    deployment, now = current.deployment(), datetime.now(UTC)
    waiting = queued(deployment, patience=PATIENCE)
    with deployment.records.read() as connection:
        swept = heartbeats.last(connection, heartbeats.SWEEP)
        examined = examinations.last(connection)
        desks = {
            name: (str(table.get("kind", "generic")), records.traffic(connection, name))
            for name, table in sorted(deployment.settings.helpdesks.items())
        }
        return render_template(
            "administration.html",
            pulse=pulse(swept, waiting, now),
            swept=swept,
            queued=waiting,
            whole=journal.standing(connection) is journal.Standing.WHOLE,
            examined=examined,
            found=sorted(examined.found, key=lambda it: it.ok) if examined else [],
            again=examinations.AGAIN,
            desks=desks,
            work=records.work(connection, now=now),
            sign_ins=signins.counts(connection, now=now),
            held_until=records.held_until(connection, now=now),
            settings_file=settings.file().resolve(),
            practice=deployment.settings.practice,
        )


@blueprint.post("/examine")
@administrator
def examine(viewer: Viewer) -> Response:
    """Have a worker look at every part. Pressed again while that is under way, nothing more is asked for."""
    now = datetime.now(UTC)
    with current.deployment().records.write() as tx:
        before = examinations.last(tx)
        begun = before is not None and before.under_way and now - before.asked_at < timedelta(minutes=2)
        asked = None if begun else examinations.ask(tx, now=now)
    if asked:
        wake(Due(What.EXAMINATION, asked))
    return redirect(url_for("administration.show", _anchor="findings"), code=303)


@dataclass(frozen=True)
class Line:
    """A rule and what it did. `rule` is None for one that the rules in force no longer name."""

    name: str
    rule: Rule | None
    did: Did | None


@dataclass(frozen=True)
class RulesFile:
    """The file that the rules in force came from, as it is now."""

    path: Path
    changed: bool
    wrong: str  # its mistakes, with their lines


@blueprint.get("/rules")
@administrator
def rules(viewer: Viewer) -> str:
    deployment, now = current.deployment(), datetime.now(UTC)
    with deployment.records.read() as connection:
        did = records.by_rule(connection, since=now - LATELY)
    named = {rule.name for rule in deployment.rules.rules}
    lines = [Line(rule.name, rule, did.get(rule.name)) for rule in deployment.rules.rules]
    lines += [Line(name, None, found) for name, found in sorted(did.items(), key=str) if name and name not in named]
    return render_template(
        "administration_rules.html",
        lines=lines,
        nobodys=did.get(None),
        file=_rules_file(),
        own=deployment.settings.rules_file is not None,
        digest=deployment.rules.digest,
        watching=Mode.WATCH,
        settings_file=settings.file().resolve(),
    )


def _rules_file() -> RulesFile:
    deployment = current.deployment()
    path = (deployment.settings.rules_file or rules_module.SHIPPED).resolve()
    try:
        now = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        now = ""
    if now == deployment.rules.digest:
        return RulesFile(path, False, "")
    try:
        rules_module.load(path)
    except rules_module.RulesInvalid as error:
        return RulesFile(path, True, str(error))
    return RulesFile(path, True, "")


@dataclass(frozen=True)
class SignIn:
    """A kept sign-in, and whose it is."""

    kept: Kept
    person: Person
    now: datetime

    @property
    def name(self) -> str:
        """What a person reads, never empty."""
        return clean(self.person.name) or next(iter(self.addresses), self.kept.oid)

    @property
    def addresses(self) -> list[str]:
        return sorted(map(clean, self.person.addresses))

    @property
    def health(self) -> Health:
        return self.kept.health(self.now)

    def fits(self, words: str) -> bool:
        return any(words in text.casefold() for text in (self.name, self.kept.oid, *self.addresses))


def _sign_ins() -> list[SignIn]:
    with current.deployment().records.read() as connection:
        found, people = signins.everybodys(connection), signins.people(connection)
    now = datetime.now(UTC)
    return [SignIn(it, people.get((it.tid, it.oid), Person()), now) for it in found]


@blueprint.get("/sign-ins")
@administrator
def sign_ins(viewer: Viewer) -> str:
    words = request.args.get("who", "").strip()[:100]
    all_of_them = _sign_ins()
    found = sorted(
        (it for it in all_of_them if it.fits(words.casefold())),
        key=lambda it: (it.health is Health.WORKS, it.health, it.name.casefold()),
    )
    return render_template(
        "administration_sign_ins.html",
        found=found[:MOST],
        more=max(len(found) - MOST, 0),
        who=words,
        any=bool(all_of_them),
        done=request.args.get("done", ""),
    )


@blueprint.get("/sign-ins/<tid>/<oid>")
@administrator
def ask(viewer: Viewer, tid: str, oid: str) -> str:
    it = _sign_in(tid, oid) or abort(404)
    with current.deployment().records.read() as connection:
        left = signins.roles_left_alone(connection, tid, oid)
    return render_template("administration_purge.html", it=it, left=left, mine=(tid, oid) == (viewer.tid, viewer.oid))


def _sign_in(tid: str, oid: str) -> SignIn | None:
    """None where it was deleted meanwhile, or never was."""
    return next((it for it in _sign_ins() if (it.kept.tid, it.kept.oid) == (tid, oid)), None)


def _is_kept(tid: str, oid: str) -> bool:
    with current.deployment().records.read() as connection:
        return signins.of(connection, tid, oid) is not None


@blueprint.post("/sign-ins/<tid>/<oid>")
@administrator
def purge(viewer: Viewer, tid: str, oid: str) -> Response:
    """Delete the sign-in that the page before named, and end its person's page sessions."""
    if not _is_kept(tid, oid):
        sentence = _("No sign-in of this person is kept: it was deleted already, or never was. Nothing was changed.")
        return page(409, _("There is nothing to delete"), sentence, link=_back())
    now = datetime.now(UTC)
    if unproved := proof_wanted(viewer, now, _no_proof):
        return unproved
    with current.deployment().records.write() as tx:
        signins.purge(tx, tid, oid, now=now, cause="click", actor=viewer.oid)
    return redirect(url_for("administration.sign_ins", done="purged"), code=303)


def _no_proof() -> Response:
    sentence = _(
        "Your Microsoft tenant does not say when you last proved who you are, and somebody's sign-in is only deleted "
        "on a fresh one. Nothing was changed."
    )
    step = _(
        "Add the optional claim auth_time to the ID tokens of the app registration (then sign out, and sign in again), "
        "or use `ticket-elevate signins purge`."
    )
    return page(403, _("This cannot be done here yet"), sentence, next_step=step, link=_back())


def _back() -> tuple[str, str]:
    return _("Back to the sign-ins"), url_for("administration.sign_ins")
