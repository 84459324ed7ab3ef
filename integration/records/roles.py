"""What the tenant told of a technician's eligibilities, kind by kind, with its policies: kept for decisions and pages.

Each answer has its own time, so that a page shows what is known and says how old it is. One row more says that a page
wants all of it read again: whoever reads takes it from there, so a message that got lost is asked for once more.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from integration.elevation import OPEN
from integration.entra.pim import Active, Policy
from integration.records.people import answer_named, forget_answer, keep_answer
from integration.records.tables import activations, elevations, tenant_answers
from integration.targets import Eligibility, Target, TargetKind

PATIENCE = timedelta(seconds=60)  # a reading that nobody has touched for this long was lost
_WANTED = "roles:wanted"
_POLICY = "policy:"
_ALL = sa.select(tenant_answers.c.name, tenant_answers.c.answer, tenant_answers.c.read_at).where(
    tenant_answers.c.tid == sa.bindparam("of_tid"), tenant_answers.c.oid == sa.bindparam("of_oid")
)


@dataclass(frozen=True)
class Trouble:
    """Why something could not be read. `sign_in`: its technician can mend it. `policies`: the roles were read."""

    at: datetime
    why: str
    sign_in: bool = False
    policies: bool = False


@dataclass(frozen=True)
class Source:
    """One kind of target. `read_at` is None while it was never read; `active` is by the target's folded key."""

    read_at: datetime | None = None
    eligible: tuple[Eligibility, ...] = ()
    active_at: datetime | None = None
    active: Mapping[str, Active] = field(default_factory=dict)
    trouble: Trouble | None = None

    @property
    def tried_at(self) -> datetime | None:
        """When all of it was last read, or somebody tried to."""
        both = min(self.read_at, self.active_at) if self.read_at and self.active_at else None
        failed = self.trouble.at if self.trouble and not self.trouble.policies else None
        return max(both, failed) if both and failed else both or failed


@dataclass(frozen=True)
class Told:
    """A policy, None where the tenant does not tell it to this technician."""

    read_at: datetime
    policy: Policy | None


@dataclass(frozen=True)
class Known:
    """All of it. `wanted`: since when somebody waits for it to be read again."""

    sources: Mapping[TargetKind, Source]
    policies: Mapping[str, Told]
    wanted: datetime | None
    touched_at: datetime | None

    def is_being_read(self, now: datetime) -> bool:
        return self.touched_at is not None and now - self.touched_at < PATIENCE


def known(connection: sa.Connection, tid: str, oid: str) -> Known:
    rows = connection.execute(_ALL, {"of_tid": tid, "of_oid": oid}).all()
    by_name = {row.name: row for row in rows}
    wanted = by_name.get(_WANTED)
    return Known(
        {kind: _source(kind, by_name) for kind in TargetKind},
        {row.name.removeprefix(_POLICY): _told(row) for row in rows if row.name.startswith(_POLICY)},
        datetime.fromisoformat(wanted.answer) if wanted else None,
        wanted.read_at if wanted else None,
    )


def _source(kind: TargetKind, rows: Mapping[str, Any]) -> Source:
    eligible, active, trouble = (rows.get(name(kind)) for name in (eligible_name, _active_name, _trouble_name))
    return Source(
        eligible.read_at if eligible else None,
        tuple(eligible_from_text(eligible.answer)) if eligible else (),
        active.read_at if active else None,
        _active_from_text(active.answer) if active else {},
        Trouble(trouble.read_at, **json.loads(trouble.answer)) if trouble else None,
    )


def _told(row: Any) -> Told:
    return Told(row.read_at, policy_from_text(row.answer))


def policy_name(target: Target) -> str:
    return f"{_POLICY}{target.key}"


def policy_to_text(policy: Policy | None) -> str:
    return json.dumps(policy.to_json() if policy else None)


def policy_from_text(text: str) -> Policy | None:
    plain = json.loads(text)
    return Policy.from_json(plain) if plain else None


def eligible_name(kind: TargetKind) -> str:
    return f"eligibilities:{kind}"


def _active_name(kind: TargetKind) -> str:
    return f"active:{kind}"


def _trouble_name(kind: TargetKind) -> str:
    return f"unread:{kind}"


def eligible_to_text(found: Iterable[Eligibility]) -> str:
    return json.dumps(
        [
            {
                "target": it.target.key,
                "name": it.name,
                "until": it.until.isoformat() if it.until else None,
                "schedule": it.schedule_id,
            }
            for it in found
        ]
    )


def eligible_from_text(text: str) -> list[Eligibility]:
    return [
        Eligibility(Target.from_key(it["target"]), it["name"], _time(it["until"]), it.get("schedule", ""))
        for it in json.loads(text)
    ]


def _active_from_text(text: str) -> dict[str, Active]:
    return {it["target"]: Active("", None, _time(it["until"]), it["activated"]) for it in json.loads(text)}


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def keep_eligible(
    tx: sa.Connection, tid: str, oid: str, kind: TargetKind, found: Iterable[Eligibility], *, now: datetime
) -> None:
    keep_answer(tx, tid, oid, eligible_name(kind), eligible_to_text(found), now=now)


def keep_active(
    tx: sa.Connection, tid: str, oid: str, kind: TargetKind, found: Iterable[tuple[Target, Active]], *, now: datetime
) -> None:
    """What is there and comes after all that could go wrong: whatever trouble there was is over."""
    plain = [
        {"target": folded(target), "until": it.end.isoformat() if it.end else None, "activated": it.activated}
        for target, it in found
    ]
    keep_answer(tx, tid, oid, _active_name(kind), json.dumps(plain), now=now)
    forget_answer(tx, tid, oid, _trouble_name(kind))


def keep_policy(tx: sa.Connection, tid: str, oid: str, target: Target, policy: Policy | None, *, now: datetime) -> None:
    keep_answer(tx, tid, oid, policy_name(target), policy_to_text(policy), now=now)


def keep_trouble(tx: sa.Connection, tid: str, oid: str, kind: TargetKind, it: Trouble) -> None:
    plain = {"why": it.why, "sign_in": it.sign_in, "policies": it.policies}
    keep_answer(tx, tid, oid, _trouble_name(kind), json.dumps(plain), now=it.at)


def want(tx: sa.Connection, tid: str, oid: str, *, now: datetime) -> None:
    """Say that all of it is to be read again."""
    keep_answer(tx, tid, oid, _WANTED, now.isoformat(), now=now)


def go_on(tx: sa.Connection, tid: str, oid: str, wanted: datetime, *, now: datetime) -> None:
    """Somebody still reads what was wanted then."""
    mine = sa.and_(answer_named(tid, oid, _WANTED), tenant_answers.c.answer == wanted.isoformat())
    tx.execute(tenant_answers.update().where(mine).values(read_at=now))


def done(tx: sa.Connection, tid: str, oid: str, wanted: datetime | None = None) -> None:
    """Nothing is waited for any more; with `wanted`, unless somebody wanted it again since."""
    mine = answer_named(tid, oid, _WANTED)
    if wanted is not None:
        mine = sa.and_(mine, tenant_answers.c.answer == wanted.isoformat())
    tx.execute(tenant_answers.delete().where(mine))


def folded(target: Target) -> str:
    """A target's key as it is compared: the tenant writes ids and Azure's paths in any case of letters."""
    return target.key.casefold()


@dataclass(frozen=True)
class Running:
    """An elevation of ours that is on for a target."""

    id: str
    state: str
    ticket: str
    until: datetime | None


def running(connection: sa.Connection, tid: str, oid: str) -> dict[str, Running]:
    """What we run for a technician, by the target's folded key; of several tickets on one, that of the newest."""
    mine = sa.and_(elevations.c.tid == tid, elevations.c.oid == oid, elevations.c.target.is_not(None))
    query = sa.select(elevations).where(mine, elevations.c.state.in_(sorted(OPEN))).order_by(elevations.c.created_at)
    rows = connection.execute(query)
    return {row.target.casefold(): Running(row.id, row.state, row.ticket, row.until) for row in rows}


def ended_since(connection: sa.Connection, tid: str, oid: str, since: datetime) -> dict[str, datetime]:
    """When an activation that we knew of ended, by the target's folded key."""
    late = sa.and_(activations.c.tid == tid, activations.c.oid == oid, activations.c.ended_at >= since)
    query = sa.select(activations.c.target, activations.c.ended_at).where(late).order_by(activations.c.ended_at)
    return {row.target.casefold(): row.ended_at for row in connection.execute(query)}
