"""A sign-in that the tenant refuses for good: who finds it out, what ends with it, what is kept."""

import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from integration.entra.errors import EntraUnavailable, Loss, SignInNeeded
from integration.records import journal, sessions, signins
from integration.records.tables import token_caches, web_sessions
from tests.conftest import Desk, Practice


def whose(practice: Practice, who: str = "technician") -> tuple[str, str]:
    return practice.facts["tenant_id"], practice.people[who]["oid"]


def ask(desk: Desk) -> None:
    desk.deployment.tenant.addresses(*whose(desk.practice), desk.now())


def browse(desk: Desk, cookie: str, who: str = "technician") -> None:
    """A page session, as the pages start one."""
    tid, oid = whose(desk.practice, who)
    with desk.deployment.records.write() as tx:
        sessions.start_session(tx, cookie, "{}", tid=tid, oid=oid, now=desk.now())


def kept(desk: Desk) -> Any:
    with desk.deployment.records.read() as connection:
        return connection.execute(sa.select(token_caches)).one()


def left(desk: Desk) -> list[str]:
    """Whose page sessions go on."""
    with desk.deployment.records.read() as connection:
        return list(connection.execute(sa.select(web_sessions.c.oid)).scalars())


def told(desk: Desk) -> list[dict[str, Any]]:
    with desk.deployment.records.read() as connection:
        entries = [json.loads(line) for line in journal.export(connection)]
    return [it for it in entries if it["entry"]["kind"].startswith("signin.")]


@pytest.mark.parametrize(("change", "why"), [({"revoke_sign_ins": True}, "revoked"), ({"enabled": False}, "disabled")])
def test_a_person_who_is_shut_out_loses_their_pages_with_the_call_that_finds_it_out(
    desk: Desk, practice: Practice, change: dict[str, bool], why: str
) -> None:
    desk.sign_in()
    desk.sign_in("technician2")
    for who in ("technician", "technician", "technician2"):
        browse(desk, f"{who}{len(left(desk))}", who)
    ask(desk)
    practice.control("/people/technician", change)
    with pytest.raises(SignInNeeded):
        ask(desk)

    assert left(desk) == [whose(practice, "technician2")[1]]
    lost, *purged = told(desk)
    assert (lost["entry"]["kind"], lost["entry"]["cause"]) == ("signin.lost", "tenant")
    assert lost["entry"]["facts"] == {"why": why, "sessions": 2}
    assert lost["private"]["whose"]["value"] == whose(practice)[1]
    assert [it["entry"]["kind"] for it in purged] == (["signin.purged"] if why == "disabled" else [])


def test_of_a_disabled_account_no_sign_in_is_kept_and_the_reason_is(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    practice.control("/people/technician", {"enabled": False})
    with pytest.raises(SignInNeeded):
        ask(desk)

    row = kept(desk)
    assert (row.sealed, row.version, row.lost_why) == (b"", 2, "Your account is disabled. Ask an administrator.")
    assert row.lost_at is not None


def test_the_tenant_is_not_asked_with_a_sign_in_that_it_refused_for_good(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    practice.control("/people/technician", {"revoke_sign_ins": True})
    with pytest.raises(SignInNeeded):
        ask(desk)
    before = len(practice.log()["requests"])
    for _ in range(3):
        with pytest.raises(SignInNeeded, match="revoked"):
            ask(desk)

    assert len(practice.log()["requests"]) == before
    assert len(told(desk)) == 1


def test_the_next_sign_in_is_like_any_other(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    practice.control("/people/technician", {"revoke_sign_ins": True})
    with pytest.raises(SignInNeeded):
        ask(desk)
    desk.sign_in()
    ask(desk)

    assert (kept(desk).lost_at, kept(desk).lost_why) == (None, None)


def test_who_signs_in_while_the_old_sign_in_is_refused_is_not_shut_out(desk: Desk, practice: Practice) -> None:
    desk.sign_in()
    browse(desk, "back")
    tid, oid = whose(practice)
    store = desk.deployment.tenant._tokens._store
    assert store.lease(tid, oid, holder="h", until=desk.now() + timedelta(minutes=1), now=desk.now())
    desk.sign_in()
    with desk.deployment.records.write() as tx:
        signins.lose(tx, tid, oid, holder="h", loss=Loss.REVOKED, why="It was revoked.", now=desk.now())

    assert kept(desk).lost_at is None
    assert len(left(desk)) == 1
    assert told(desk) == []


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 503}, {"kind": "drop"}, {"kind": "throttle"}])
def test_a_tenant_that_does_not_answer_changes_nothing(desk: Desk, practice: Practice, fault: dict[str, Any]) -> None:
    desk.sign_in()
    browse(desk, "here")
    practice.control("/faults", {"match": {}, "times": 100, **fault})
    with pytest.raises(EntraUnavailable):
        ask(desk)

    assert kept(desk).lost_at is None
    assert len(left(desk)) == 1


def test_a_sign_in_that_only_grew_old_is_lost_and_the_pages_go_on(desk: Desk, practice: Practice) -> None:
    """Whoever sits there proved who they are within hours: that sign-in frequency ran out says nothing against it."""
    desk.sign_in()
    browse(desk, "here")
    body = json.dumps({"error": "invalid_grant", "error_codes": [70043], "error_description": "AADSTS70043: Old."})
    practice.control("/people/technician", {"expire_access_tokens": True})
    fault = {"match": {"path": "/token$"}, "kind": "status", "status": 400, "body": body, "times": 9}
    practice.control("/faults", fault)
    with pytest.raises(SignInNeeded):
        ask(desk)

    assert kept(desk).lost_why.startswith("Your organisation asks you to sign in again")
    assert len(left(desk)) == 1
    (lost,) = told(desk)
    assert lost["entry"]["facts"] == {"why": "age", "sessions": 0}
