"""Looks at every part, and says how to mend what is not right: for `ticket-elevate doctor` and for pages."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import redis
import requests
import sqlalchemy as sa

from integration import checkpoints, verify
from integration.deployment import Deployment
from integration.entra.errors import EntraError
from integration.helpdesks import setup
from integration.journal import JournalError
from integration.notices import NoticeKind
from integration.records import checkpoints as records
from integration.records import journal
from integration.records.tables import metadata
from integration.rules import RulesInvalid
from integration.tickets import Finding, Helpdesk, HelpdeskError
from workers import policies

QUEUE = "celery"  # Celery's own name for the one that nobody named
CLOCKS_APART = 60.0  # seconds, from which on it is worth a warning


def examine(deployment: Deployment, *, deadline: float = math.inf) -> Iterator[Finding]:
    """`deadline` is on the monotonic clock: after it no further technician's policies are asked for."""
    yield _keys(deployment)
    yield _database(deployment)
    yield _journal(deployment)
    yield from _checkpoints(deployment)
    yield _queue(deployment)
    yield from _rules(deployment)
    yield from _tenant(deployment)
    yield from policies.examine(deployment, deadline=deadline)
    yield from _helpdesks(deployment)


def _keys(deployment: Deployment) -> Finding:
    try:
        assert deployment.sealer
    except EntraError as error:
        return Finding("key ring", False, f"{error} `ticket-elevate init` makes one.")
    return Finding("key ring", True)


def _database(deployment: Deployment) -> Finding:
    try:
        with deployment.records.read() as connection:
            missing = set(metadata.tables) - set(sa.inspect(connection).get_table_names())
    except sa.exc.SQLAlchemyError as error:
        return Finding("database", False, f"It does not answer ({type(error).__name__}). Check database_url.")
    fix = "Tables are missing. Run `ticket-elevate init`."
    return Finding("database", not missing, fix)


def _journal(deployment: Deployment) -> Finding:
    try:
        with deployment.records.read() as connection:
            whole = journal.standing(connection) is journal.Standing.WHOLE
    except sa.exc.SQLAlchemyError:
        return Finding("journal", False, "It cannot be read. Mend the database first.")
    fix = (
        "Its last entry was changed. No role is activated; active ones are still given back. Keep a copy of the "
        "database, run `ticket-elevate export` and have it verified, then `ticket-elevate journal accept-break`."
    )
    return Finding("journal", whole, fix)


def _checkpoints(deployment: Deployment) -> Iterator[Finding]:
    found = deployment.settings
    try:
        checkpoints.read_key(found.checkpoint_key_file)
    except JournalError as error:
        yield Finding("checkpoint key", False, f"{error} Without one nobody signs where the journal stands.")
    else:
        yield Finding("checkpoint key", True)
    try:
        note = checkpoints.newest_copy(found.checkpoint_dir)
        with deployment.records.read() as connection:
            missing = records.unstored(connection)
            covered = note is None or records.covers(connection, *verify.read_checkpoint(note.encode()))
    except (OSError, UnicodeDecodeError, verify.Unreadable):
        yield Finding("checkpoints", False, f"{found.checkpoint_dir} cannot be read. Check checkpoint_dir.")
        return
    except sa.exc.SQLAlchemyError:
        yield Finding("checkpoints", False, "The journal cannot be read. Mend the database first.")
        return
    if not covered:
        fix = (
            "The newest one names an entry that the journal does not have: the journal was cut, rewritten or restored "
            "from a backup. Export it, and tell your auditors before they find out."
        )
        yield Finding("checkpoints", False, fix)
    else:
        fix = f"{missing} are not in {found.checkpoint_dir} yet. They are copied there when it can be written again."
        yield Finding("checkpoints", not missing, fix)


def _queue(deployment: Deployment) -> Finding:
    fix = "Redis does not answer. Is `ticket-elevate run` running? Check redis_url."
    return Finding("queue", queued(deployment, patience=3) is not None, fix)


def queued(deployment: Deployment, *, patience: float) -> int | None:
    """How many messages the queue holds; None where Redis does not answer for `patience` seconds."""
    url = deployment.settings.redis_url or f"unix://{deployment.settings.data_dir.resolve()}/redis.sock"
    url = url.replace("redis+socket://", "unix://")
    try:
        with redis.Redis.from_url(url, socket_timeout=patience, socket_connect_timeout=patience) as there:
            return int(there.llen(QUEUE))
    except (redis.RedisError, ValueError):
        return None


def _rules(deployment: Deployment) -> Iterator[Finding]:
    try:
        count = len(deployment.rules.rules)
    except RulesInvalid as error:
        yield Finding("rules", False, str(error))
        return
    yield Finding(f"rules ({count})", True)
    if deployment.rules.break_glass is not None:
        fix = (
            "The rules allow it, and nobody is told when it is used: reviewers only find it on their page. Set "
            "notify.break_glass (docs/notifications.md)."
        )
        yield Finding("break glass", bool(deployment.settings.notify.of(NoticeKind.BREAK_GLASS)), fix)


def _tenant(deployment: Deployment) -> Iterator[Finding]:
    entra = deployment.settings.entra
    url = f"{entra.authority}/v2.0/.well-known/openid-configuration"
    try:
        answer = requests.get(url, timeout=(3.05, 10), verify=str(entra.ca_bundle) if entra.ca_bundle else True)
        named = answer.json().get("issuer") if answer.ok else None
    except (requests.RequestException, ValueError):
        fix = f"{entra.authority} does not answer. Check entra.authority and the network."
        yield Finding("tenant", False, fix)
        return
    fix = "The authority knows no such tenant. Check entra.authority and tenant_id."
    yield Finding("tenant", bool(named), fix)
    yield from _clock(answer.headers.get("Date", ""), datetime.now(UTC))


def _clock(told: str, now: datetime) -> Iterator[Finding]:
    """Our clock against the `Date` of the tenant's answer (RFC 9110, 6.6.1: whole seconds, GMT)."""
    try:
        at = parsedate_to_datetime(told)
        off = (now - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()
    except (ValueError, OverflowError):
        return  # nothing to compare with
    fix = (
        f"This machine's clock is {abs(off):.0f} seconds {'ahead of' if off > 0 else 'behind'} the tenant's. Roles are "
        "given back early or late, and the journal's times are wrong. Let NTP set it (`timedatectl set-ntp true`)."
    )
    yield Finding("clock", abs(off) <= CLOCKS_APART, fix)


def _helpdesks(deployment: Deployment) -> Iterator[Finding]:
    try:
        connected = deployment.helpdesks
    except ValueError as error:
        yield Finding("helpdesks", False, str(error))
        return
    if not connected:
        yield Finding("helpdesks", False, "None is connected yet: `ticket-elevate connect KIND` does it.")
    for name, helpdesk in connected.items():
        try:
            for found in _of_helpdesk(helpdesk, setup.Place(name, deployment.settings.public_url)):
                yield Finding(f"{name}: {found.what}", found.ok, found.fix)
        except HelpdeskError as error:
            yield Finding(name, False, str(error))


def _of_helpdesk(helpdesk: Helpdesk, place: setup.Place) -> Iterator[Finding]:
    checked = helpdesk.check()
    yield from checked
    if all(found.ok for found in checked):  # else each further question would only fail, too
        yield from setup.of(helpdesk).standing(place)
