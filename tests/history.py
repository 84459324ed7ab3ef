"""Judges a run afterwards, from what others recorded: the practice tenant's and helpdesk's own logs, and our journal.

It imports nothing of the product, so that a mistake there cannot hide itself here. Its rules are the invariants 1-6,
8-10 and 12 of the list that the threats end with; each complaint starts with the number of its rule.
"""

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

Json = dict[str, Any]
# What may follow what, written down a second time.
ELEVATION = {
    None: {"offered", "requested", "refused", "watched"},
    "offered": {"requested", "sign_in_needed", "cancelled"},
    "requested": {
        "offered",
        "sign_in_needed",
        "waiting",
        "pending_approval",
        "active",
        "refused",
        "failed",
        "cancelled",
        "watched",
    },
    "sign_in_needed": {"offered", "requested", "refused", "cancelled"},
    "waiting": {
        "requested",
        "pending_approval",
        "active",
        "offered",
        "sign_in_needed",
        "ending",
        "failed",
        "cancelled",
    },
    "pending_approval": {"active", "requested", "ending", "failed", "cancelled"},
    "active": {"ending", "ended"},
    "ending": {"ended"},
}
ACTIVATION = {
    None: {"asked"},
    "asked": {"pending_approval", "active", "failed"},
    "pending_approval": {"active", "failed", "withdrawn"},
    "active": {"giving_back", "expired", "left"},
    "giving_back": {"given_back", "expired"},
}
BY_KIND = {
    "pick.planned": "requested",
    "pick.offered": "offered",
    "pick.refused": "refused",
    "signin.done": "requested",
    "breakglass.started": "requested",
    "activation.intended": "waiting",
    "activation.joined": "waiting",
}
OF_ACTIVATION = {
    "activation.intended": "asked",
    "activation.seen": "active",
    "approval.asked": "pending_approval",
    "activation.withdrawn": "withdrawn",
    "activation.failed": "failed",
    "activation.expired": "expired",
    "activation.left": "left",
    "giveback.intended": "giving_back",
    "giveback.done": "given_back",
}
ALREADY = {"activation.seen", "approval.asked"}  # said once for each ticket that waited
HOLDING = {"waiting", "pending_approval", "active"}
TICK = timedelta(milliseconds=5)  # the tenant's log rounds to a tenth of a millisecond
SYSTEM = "Practice helpdesk"
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass
class Entry:
    seq: int
    at: datetime
    kind: str
    elevation: str | None
    activation: str | None
    cause: str
    facts: Json
    private: Json


@dataclass
class Folded:
    """The states that a reader of the journal alone comes to, and what did not fit on the way."""

    elevations: dict[str, str] = field(default_factory=dict)
    activations: dict[str, str] = field(default_factory=dict)
    on: dict[str, str] = field(default_factory=dict)  # elevation -> activation
    wrong: list[str] = field(default_factory=list)

    def take(self, it: Entry) -> None:
        to = it.facts.get("to") or BY_KIND.get(it.kind)
        if it.elevation and to:
            self._move(self.elevations, ELEVATION, it.elevation, str(to), it)
            if to in ("sign_in_needed", "offered", "requested"):
                self.on.pop(it.elevation, None)
            elif it.activation:
                self.on[it.elevation] = it.activation
        then = OF_ACTIVATION.get(it.kind)
        if it.activation and then and not (it.kind in ALREADY and self.activations.get(it.activation) == then):
            self._move(self.activations, ACTIVATION, it.activation, then, it)

    def _move(self, states: dict[str, str], moves: Mapping[Any, set[str]], key: str, to: str, it: Entry) -> None:
        if to not in moves.get(states.get(key), set()):
            self.wrong.append(f"10: entry {it.seq} makes {key}, which is {states.get(key)}, {to}")
        states[key] = to


def read(lines: Sequence[str]) -> list[Entry]:
    found = []
    for line in lines:
        it = json.loads(line)
        entry = it["entry"]
        opened = {name: shown["value"] for name, shown in it["private"].items()}
        found.append(
            Entry(
                entry["seq"],
                _time(entry["at"]),
                entry["kind"],
                entry["elevation"],
                entry["activation"],
                entry["cause"],
                entry["facts"],
                opened,
            )
        )
    return found


def fold(entries: Sequence[Entry]) -> Folded:
    it = Folded()
    for entry in entries:
        it.take(entry)
    return it


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@dataclass
class Post:
    """One request that the tenant received from us, to activate a role or to give it back."""

    arrived: datetime
    answered: datetime
    accepted: bool
    who: str  # the key of the person whose token it was
    body: Json

    @property
    def role(self) -> str:
        return str(self.body["roleDefinitionId"])

    @property
    def person(self) -> str:
        return str(self.body["principalId"])

    @property
    def ticket(self) -> str:
        return str((self.body.get("ticketInfo") or {}).get("ticketNumber"))

    @property
    def duration(self) -> timedelta:
        return _duration(self.body["scheduleInfo"]["expiration"]["duration"])


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", text)
    assert found, text
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def posts(log: Json, action: str) -> list[Post]:
    """Without those that a person made in a portal: they name another ticket system, or none."""
    found = []
    for row in log["requests"]:
        ours = row["method"] == "POST" and row["path"].endswith("roleAssignmentScheduleRequests")
        body = row.get("body")
        if not ours or not isinstance(body, dict) or body.get("action", "").casefold() != action.casefold():
            continue
        if action == "selfActivate" and (body.get("ticketInfo") or {}).get("ticketSystem") != SYSTEM:
            continue
        at = _time(row["at"])
        arrived = at - timedelta(milliseconds=row["milliseconds"])
        done = 201 in (row["status"], row.get("done_status"))
        found.append(Post(arrived, at, done, str(row.get("who")), body))
    return found


@dataclass
class Run:
    """Everything that was recorded of one run. `minimum`: how long the tenant keeps a role before it may be given back.

    `allowance`: how long after its end a role may stay (sweeps and outages).
    """

    entries: list[Entry]
    raw: list[Json]
    log: Json
    state: Json
    minimum: timedelta
    allowance: timedelta
    asked: list[Post]  # what the tenant was asked to activate
    given: list[Post]  # what it was asked to end

    def intents(self) -> list[Entry]:
        return [it for it in self.entries if it.kind == "activation.intended"]

    def intent_of(self, post: Post) -> Entry | None:
        """The last one before it for the same person, role and ticket."""
        fits = [
            it
            for it in self.intents()
            if it.at <= post.arrived + TICK
            and post.role in str(it.facts["target"])
            and it.private.get("actor", post.person) == post.person
            and str(it.facts["ticket"]).partition("/")[2] == post.ticket
        ]
        return fits[-1] if fits else None

    def ticket(self, number: str) -> Json | None:
        return next((it for it in self.state["tickets"] if str(it["id"]) == number), None)

    def key_of(self, oid: str) -> str:
        return next((str(p["key"]) for p in self.state["people"] if p["oid"] == oid), "nobody")


def complaints(
    journal: Sequence[str],
    log: Json,
    state: Json,
    *,
    minimum: timedelta = timedelta(minutes=5),
    allowance: timedelta = timedelta(minutes=2),
    since: datetime = LONG_AGO,
) -> list[str]:
    """What is wrong with a run; nothing when all rules hold.

    `since`: when it began. A call of an earlier one that was answered late stands in this one's log.
    """
    raw = [json.loads(line) for line in journal]
    asked, given = (
        [it for it in posts(log, action) if it.arrived >= since] for action in ("selfActivate", "selfDeactivate")
    )
    for post in asked:
        post.accepted = post.accepted and not _came_to_nothing(post, state)
    run = Run(read(journal), raw, log, state, minimum, allowance, asked, given)
    rules: list[Callable[[Run], Iterator[str]]] = [_chain, _folds, _one_open, _asked, _given_back, _once, _notes, _over]
    return [complaint for rule in rules for complaint in rule(run)]


def _came_to_nothing(post: Post, state: Json) -> bool:
    """Whether the tenant took the request and never granted it: denied, withdrawn or run out."""
    made = [
        it
        for it in state["requests"]
        if (it["principalId"], it.get("roleDefinitionId"), it["justification"])
        == (post.person, post.body.get("roleDefinitionId"), post.body.get("justification"))
        and abs(_time(it["createdDateTime"]) - post.answered) < timedelta(seconds=5)
    ]
    return any(it["status"] in ("Canceled", "Denied", "TimedOut", "PendingApproval") for it in made)


def _chain(run: Run) -> Iterator[str]:
    """10: numbered from 1 without a gap, linked by hashes that are recomputed here, never backwards in time."""
    before, last = None, LONG_AGO
    for number, (line, it) in enumerate(zip(run.raw, run.entries, strict=True), 1):
        text = json.dumps(line["entry"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        mine = hashlib.sha256(b"ticket-elevate/journal/entry/v1\0" + text).hexdigest()
        genesis = hashlib.sha256(b"ticket-elevate/journal/genesis/v1\0" + line["entry"]["log"].encode()).hexdigest()
        if it.seq != number or mine != line["hash"] or line["entry"]["prev"] != (before or genesis):
            yield f"10: entry {number} does not fit into the chain"
        if it.at < last:
            yield f"10: entry {number} is earlier than the one before it"
        before, last = line["hash"], it.at


def _folds(run: Run) -> Iterator[str]:
    yield from fold(run.entries).wrong


def _one_open(run: Run) -> Iterator[str]:
    """2: at most one open activation of a person and target, by the journal and by what the tenant accepted."""
    folded, open_ones = Folded(), dict[tuple[str, str], str]()
    for it in run.entries:
        folded.take(it)
        if it.kind == "activation.intended" and it.activation:
            key = (str(it.private.get("actor")), str(it.facts["target"]))
            other = open_ones.get(key)
            if other and ACTIVATION.get(folded.activations[other]):
                yield f"2: entry {it.seq} opens {it.activation} while {other} is open"
            open_ones[key] = it.activation
    accepted = [it for it in run.asked if it.accepted]
    for key in {(it.person, it.role) for it in accepted}:
        mine = [it for it in accepted if (it.person, it.role) == key]
        for one, following in pairwise(mine):
            if _gone(run, one) > following.answered:
                yield f"2: the tenant accepted {following.body['justification']!r} while another was not ended"


def _gone(run: Run, post: Post) -> datetime:
    """When the tenant ended what this request had started."""
    ended = post.answered + post.duration
    back = [
        it.arrived
        for it in run.given
        if it.accepted and (it.person, it.role) == (post.person, post.role) and it.arrived > post.arrived
    ]
    return min([ended, *back])


def _asked(run: Run) -> Iterator[str]:
    """1, 3, 4 and 6: each request to activate has its intent, its person, its pick and its bounds."""
    for post in run.asked:
        intent = run.intent_of(post)
        if intent is None or intent.elevation is None:
            yield f"1: the tenant was asked for {post.role} on ticket {post.ticket} without a recorded intent"
            continue
        if run.key_of(post.person) != post.who or intent.private.get("actor", post.person) != post.person:
            yield f"3: a token of {post.who} asked for {run.key_of(post.person)} on ticket {post.ticket}"
        most = run.state["policies"].get(post.role, {}).get("maximum_duration")
        planned = timedelta(seconds=int(intent.facts["duration_seconds"]))
        if post.duration > planned:
            yield f"6: ticket {post.ticket} asked for {post.duration}, the plan said {planned}"
        if isinstance(most, str) and post.duration > _duration(most):
            yield f"6: ticket {post.ticket} asked for {post.duration}, the policy says {most}"
        yield from _own_act(run, post, intent.elevation)


def _own_act(run: Run, post: Post, elevation: str) -> Iterator[str]:
    """4: not the requester's own ticket, and picked by the technician's own hand or click."""
    ticket = run.ticket(post.ticket)
    if ticket is None:
        return
    if (ticket["requester"] or {}).get("id") == post.who:
        yield f"4: {post.who} filed ticket {post.ticket} and was elevated for it"
    picks = [it for it in run.entries if it.elevation == elevation and it.kind in ("pick.planned", "pick.offered")]
    if any(it.cause == "click" or _rests_on_another(it) for it in picks) or not picks:
        return
    changes = [c for c in _assignments(ticket) if _time(c["at"]) <= picks[0].at + TICK]
    if not changes or (changes[-1]["actor_id"], changes[-1]["new"]) != (post.who, post.who):
        yield f"4: ticket {post.ticket} was not assigned to {post.who} by their own hand"


def _rests_on_another(it: Entry) -> bool:
    """More time that was asked for, or another target of the same pick."""
    return "follows" in it.facts or "with" in it.facts


def _assignments(ticket: Json) -> list[Json]:
    """Oldest first."""
    return [change for change in reversed(ticket["history"]) if change["field"] == "assignee"]


def _given_back(run: Run) -> Iterator[str]:
    """5: nobody holds it, the tenant's minimum is over, and it was ours to give back."""
    asked = [it for it in run.asked if it.accepted]
    folded, rest = Folded(), deque(run.entries)
    for post in sorted(run.given, key=lambda it: it.arrived):
        while rest and rest[0].at <= post.arrived + TICK:
            folded.take(rest.popleft())
        giving = [key for key, state in folded.activations.items() if state in ("giving_back", "given_back")]
        ours = [it for it in run.intents() if it.activation in giving and post.role in str(it.facts["target"])]
        ours = [it for it in ours if it.private.get("actor", post.person) == post.person]
        if not ours:
            yield f"5: {post.role} of {post.who} was given back without a recorded intent"
            continue
        of = ours[-1].activation
        held = [e for e, a in folded.on.items() if a == of and folded.elevations[e] in HOLDING]
        if held:
            yield f"5: {of} was given back while {held} held it"
        started = [it for it in asked if (it.person, it.role) == (post.person, post.role) and it.arrived < post.arrived]
        if not started:
            yield f"5: {post.role} of {post.who} was given back and was never asked for by us"
        elif post.arrived < started[-1].arrived + run.minimum:
            yield f"5: {of} was given back {post.arrived - started[-1].arrived} after it started"


def _once(run: Run) -> Iterator[str]:
    """8: not more elevations of a ticket than picks of it."""
    opened: dict[str, list[Entry]] = {}
    seen: set[str] = set()
    for it in run.entries:
        if it.elevation and it.elevation not in seen and it.kind.startswith("pick."):
            seen.add(it.elevation)
            opened.setdefault(str(it.facts["ticket"]).partition("/")[2], []).append(it)
    for number, entries in opened.items():
        ticket = run.ticket(number)
        if ticket is None:
            continue
        picks = sum(change["new"] is not None for change in _assignments(ticket))
        clicks = sum(it.cause == "click" or _rests_on_another(it) for it in entries)
        if len(entries) > picks + clicks:
            yield f"8: ticket {number} was picked {picks} times and has {len(entries)} elevations"


MARKER = re.compile(r"\[te:[^\]]+\]")


def _notes(run: Run) -> Iterator[str]:
    """9: each comment stands on its ticket once, and the helpdesk was never given it a second time."""
    for ticket in run.state["tickets"]:
        found = [mark for note in ticket["notes"] for mark in MARKER.findall(note["body"])]
        for mark in {it for it in found if found.count(it) > 1}:
            yield f"9: ticket {ticket['id']} says {mark} {found.count(mark)} times"


def _over(run: Run) -> Iterator[str]:
    """12: when no ticket needs it any more the tenant shows the role gone, in time."""
    now = _time(run.state["now"])
    for post in run.asked:
        intent = run.intent_of(post)
        if not post.accepted or intent is None:
            continue
        sharing = {it.elevation for it in run.entries if it.activation == intent.activation and it.elevation}
        ends = [_let_go(run, elevation) for elevation in sharing]
        if any(end is None for end in ends):
            continue
        due = max([post.arrived + run.minimum, *[end for end in ends if end]]) + run.allowance
        if _gone(run, post) > due and now > due:
            yield f"12: the role for ticket {post.ticket} was there until {_gone(run, post)}, and due by {due}"


def _let_go(run: Run, elevation: str) -> datetime | None:
    """When the helpdesk says that this elevation's ticket was solved or left its technician; None if it never did."""
    mine = [it for it in run.entries if it.elevation == elevation]
    number = next((str(it.facts["ticket"]).partition("/")[2] for it in mine if "ticket" in it.facts), "")
    ticket = run.ticket(number)
    if ticket is None:
        return mine[0].at
    for change in reversed(ticket["history"]):
        left = change["field"] == "assignee" or (change["field"], change["new"]) == ("status", "solved")
        if left and _time(change["at"]) > mine[0].at:
            return _time(change["at"])
    return None
