"""An administrator sees and deletes kept sign-ins from the shell."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cli.main import commands
from integration.elevation import State
from integration.entra.errors import SignInNeeded
from integration.records import journal, people, sessions
from integration.records.tables import token_caches, web_sessions
from integration.settings import SETTINGS_VARIABLE
from tests.conftest import Desk, Practice
from tests.end_to_end.product import settings_file

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def settings_in_force(practice: Practice, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings_file(practice, tmp_path, desk.deployment.settings.database_url)
    monkeypatch.setenv(SETTINGS_VARIABLE, str(path))


def said(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(commands, ["signins", *words], input=typed)


def whose(practice: Practice, who: str) -> tuple[str, str]:
    return practice.facts["tenant_id"], practice.people[who]["oid"]


def browse(desk: Desk, who: str) -> None:
    tid, oid = whose(desk.practice, who)
    data = {"name": f"{who}\x1b[31m", "upn": f"{who.upper()}@page.example"}
    with desk.deployment.records.write() as tx:
        sessions.start_session(tx, f"cookie of {who}", json.dumps(data), tid=tid, oid=oid, now=desk.now())


def kept(desk: Desk) -> set[str]:
    with desk.deployment.records.read() as connection:
        return set(connection.execute(sa.select(token_caches.c.oid).where(token_caches.c.sealed != b"")).scalars())


def purged(desk: Desk) -> list[dict[str, Any]]:
    with desk.deployment.records.read() as connection:
        entries = [json.loads(line) for line in journal.export(connection)]
    return [it for it in entries if it["entry"]["kind"] == "signin.purged"]


def aged(desk: Desk, who: str, **values: object) -> datetime:
    at = desk.now() - 85 * DAY
    oid = whose(desk.practice, who)[1]
    with desk.deployment.records.write() as tx:
        tx.execute(
            token_caches.update()
            .where(token_caches.c.oid == oid)
            .values({"signed_in_at": at, "renewed_at": None, **values})
        )
    return at


def test_each_sign_in_is_one_line_and_shows_how_it_is_and_no_secret(desk: Desk, practice: Practice) -> None:
    desk.link()
    for who in ("technician2", "auditor"):
        desk.sign_in(who)
    browse(desk, "auditor")
    old = aged(desk, "technician2")
    lost = aged(desk, "auditor", signed_in_at=desk.now(), lost_at=desk.now(), lost_why="It was\x1b[31m revoked.")
    answer = said("list")
    assert answer.exit_code == 0, answer.output
    lines = {line.split("\t")[0]: line.split("\t") for line in answer.output.splitlines()}
    mine = lines[f"Technician One ({whose(practice, 'technician')[1]})"]
    assert (mine[1], mine[4]) == (practice.people["technician"]["mail"], "in order")
    theirs = lines[whose(practice, "technician2")[1]]
    assert theirs[1:] == ["-", *[f"{old:%Y-%m-%d %H:%M}Z"] * 2, f"ends {old + 90 * DAY:%Y-%m-%d} unless used"]
    ended = lines[f"auditor[31m ({whose(practice, 'auditor')[1]})"]
    assert ended[1] == "auditor@page.example"
    assert ended[4].startswith("ended 20")
    assert ended[4].endswith("Z: It was[31m revoked.")
    assert lost < desk.now()
    with desk.deployment.records.read() as connection:
        for sealed in connection.execute(sa.select(token_caches.c.sealed)).scalars():
            assert sealed.decode("ascii", "replace")[:24] not in answer.output


@pytest.mark.parametrize("named", ["oid", "linked address", "address of the page"])
def test_a_purge_deletes_one_sign_in_and_ends_its_pages(desk: Desk, practice: Practice, named: str) -> None:
    desk.link()
    desk.sign_in("auditor")
    for who in ("technician", "auditor"):
        browse(desk, who)
    tid, oid = whose(practice, "technician")
    name = {"oid": oid, "linked address": practice.people["technician"]["mail"].upper()}
    answer = said("purge", name.get(named, "technician@PAGE.example"), "--yes")

    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("1 sign-in deleted")
    assert kept(desk) == {whose(practice, "auditor")[1]}
    with desk.deployment.records.read() as connection:
        assert list(connection.execute(sa.select(web_sessions.c.oid)).scalars()) == [whose(practice, "auditor")[1]]
        assert [link.oid for link in people.all_links(connection)] == [oid]
    (entry,) = purged(desk)
    assert (entry["entry"]["cause"], entry["entry"]["facts"]) == ("cli", {"why": "purged", "sessions": 1})
    assert entry["private"]["whose"]["value"] == oid
    with pytest.raises(SignInNeeded):
        desk.deployment.tenant.addresses(tid, oid, desk.now())


def test_it_says_which_roles_will_have_to_end_by_themselves_and_asks_first(desk: Desk, practice: Practice) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    assert desk.only(ticket).state is State.ACTIVE
    mail = practice.people["technician"]["mail"]
    refused = said("purge", mail, typed="n\n")
    assert refused.exit_code == 1
    assert "1 role is active or being asked for and can then not be given back early" in refused.output
    assert len(kept(desk)) == 1

    assert said("purge", mail, typed="y\n").exit_code == 0
    assert kept(desk) == set()
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))
    desk.sweep()
    assert any("could not be given back yet" in note for note in practice.notes(ticket))


def test_all_are_purged_each_with_an_entry_and_whoever_has_only_a_page_as_well(desk: Desk, practice: Practice) -> None:
    for who in ("technician", "technician2"):
        desk.sign_in(who)
    for who in ("technician", "auditor"):
        browse(desk, who)
    aged(desk, "technician2", lost_at=desk.now(), lost_why="It was revoked.")
    answer = said("purge", "--all", "--yes")
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("2 sign-ins deleted")
    assert kept(desk) == set()
    with desk.deployment.records.read() as connection:
        assert list(connection.execute(sa.select(web_sessions))) == []
    assert len(purged(desk)) == 3
    assert "No sign-in is kept." in said("list").output
    assert said("purge", "--all", "--yes").output.startswith("0 sign-ins deleted")
    assert len(purged(desk)) == 3


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["nobody@a.example"], "No sign-in of 'nobody@a.example' is kept"),
        ([], "Name one person"),
        (["nobody@a.example", "--all"], "Name one person"),
    ],
)
def test_who_names_nobody_that_is_known_is_told_so_and_nothing_is_deleted(
    desk: Desk, words: list[str], answer: str
) -> None:
    desk.sign_in()
    given = said("purge", *words, "--yes")
    assert given.exit_code > 0
    assert answer in given.output
    assert len(kept(desk)) == 1
