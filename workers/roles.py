"""Reads again what a technician is eligible for, behind the page that shows it.

One message reads for a few seconds and passes the rest on to the next, so that a technician with very many roles, or a
slow tenant, keeps no elevation waiting. Each answer is kept as it comes; a source that fails hides none of the others.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from integration.deployment import Deployment
from integration.entra.errors import EntraError, SignInNeeded
from integration.records import roles
from integration.records.roles import Known, Trouble
from integration.targets import Target, TargetKind

log = logging.getLogger(__name__)
FRESH = timedelta(minutes=1)  # what was read this recently is not read again for a page
SHARE = timedelta(seconds=3)  # of one message
_NEVER = datetime.min.replace(tzinfo=UTC)


def kinds(deployment: Deployment) -> list[TargetKind]:
    """What may be read, in the order in which it is: for other kinds no permission was asked."""
    found = deployment.rules.kinds | {TargetKind.DIRECTORY_ROLE}
    return [kind for kind in TargetKind if kind in found]


def is_old(deployment: Deployment, it: Known, *, now: datetime, signed_in_at: datetime | None = None) -> bool:
    """Whether a page that shows this should have it read again. `signed_in_at`: when its technician last signed in."""
    sources = [it.sources[kind] for kind in kinds(deployment)]
    if any((source.tried_at or _NEVER) <= now - FRESH for source in sources):
        return True
    missed = [source.trouble.at for source in sources if source.trouble and source.trouble.sign_in]
    if missed and signed_in_at and signed_in_at > min(missed):
        return True
    kept = max(FRESH, timedelta(seconds=deployment.settings.eligibilities_seconds))
    return next(_policies(deployment, it, older_than=now - kept, unless_failed_since=now - FRESH), None) is not None


def refresh(
    deployment: Deployment, tid: str, oid: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> bool:
    """Read one share of what somebody wanted read again. True where there is more of it."""
    with deployment.records.read() as connection:
        wanted = roles.known(connection, tid, oid).wanted
    if wanted is None:
        return False  # it is done, or nobody ever asked: a message alone starts nothing
    reader = _Reader(deployment, tid, oid, wanted, clock)
    more = reader.read(until=clock() + SHARE)
    with deployment.records.write() as tx:
        if more:
            roles.go_on(tx, tid, oid, wanted, now=clock())
        else:
            roles.done(tx, tid, oid, wanted)
    return more


def _policies(
    deployment: Deployment, it: Known, *, older_than: datetime, unless_failed_since: datetime
) -> Iterator[Target]:
    """Those that are to be read, of kinds whose reading did not fail a moment ago."""
    for kind in kinds(deployment):
        source = it.sources[kind]
        if source.trouble and source.trouble.at >= unless_failed_since:
            continue
        for held in source.eligible:
            told = it.policies.get(held.target.key)
            if told is None or told.read_at < older_than:
                yield held.target


@dataclass(frozen=True)
class _Reader:
    deployment: Deployment
    tid: str
    oid: str
    wanted: datetime
    clock: Callable[[], datetime]

    def read(self, *, until: datetime) -> bool:
        """True where something is left. What was begun is finished, so that each share comes further."""
        known = self._look()
        for kind in kinds(self.deployment):
            if (known.sources[kind].tried_at or _NEVER) < self.wanted:
                self._try(kind, partial(self._read_roles, kind))
                if self.clock() >= until:
                    return True
        known = self._look()
        kept = timedelta(seconds=self.deployment.settings.eligibilities_seconds)
        failed: set[TargetKind] = set()
        for target in _policies(self.deployment, known, older_than=self.wanted - kept, unless_failed_since=self.wanted):
            if target.kind in failed:
                continue
            if not self._try(target.kind, partial(self._read_policy, target), policies=True):
                failed.add(target.kind)
            if self.clock() >= until:
                return True
        return False

    def _look(self) -> Known:
        with self.deployment.records.read() as connection:
            return roles.known(connection, self.tid, self.oid)

    def _try(self, kind: TargetKind, read: Callable[[], None], *, policies: bool = False) -> bool:
        try:
            read()
        except EntraError as error:
            log.info("roles_not_read", extra={"kind": str(kind), "raised": type(error).__name__})
            trouble = Trouble(self.clock(), str(error), isinstance(error, SignInNeeded), policies)
            with self.deployment.records.write() as tx:
                roles.keep_trouble(tx, self.tid, self.oid, kind, trouble)
            return False
        return True

    def _read_roles(self, kind: TargetKind) -> None:
        tenant, records = self.deployment.tenant, self.deployment.records
        eligible = tenant.eligibilities(self.tid, self.oid, self.clock(), frozenset({kind}))
        with records.write() as tx:
            roles.keep_eligible(tx, self.tid, self.oid, kind, eligible, now=self.clock())
        active = tenant.actives(self.tid, self.oid, self.clock(), kind)
        with records.write() as tx:
            roles.keep_active(tx, self.tid, self.oid, kind, active, now=self.clock())

    def _read_policy(self, target: Target) -> None:
        policy = self.deployment.tenant.policy(self.tid, self.oid, self.clock(), target)
        with self.deployment.records.write() as tx:
            roles.keep_policy(tx, self.tid, self.oid, target, policy, now=self.clock())
