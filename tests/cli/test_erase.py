"""`ticket-elevate journal erase`, on both databases.

Contract: nothing that names the technician is left of what has ended, the chain and every witness still hold, and
nothing that goes on is touched. ASVS 14.2.4: the erase test.
"""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cli.main import commands
from integration import verify
from integration.elevation import State
from integration.records import journal, views
from integration.records.tables import metadata
from tests.conftest import Desk, Practice
from tests.end_to_end.product import settings_file


@pytest.fixture
def erase(practice: Practice, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    path = settings_file(practice, tmp_path, desk.deployment.settings.database_url)
    monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(path))

    def run(*arguments: str, answer: str | None = None) -> Result:
        more = [] if answer else ["--yes"]
        return CliRunner().invoke(commands, ["journal", "erase", *arguments, *more], input=answer)

    return run


def worked(desk: Desk, practice: Practice, who: str = "technician", *, link: bool = True) -> str:
    """A whole life: picked, active, solved, given back."""
    if link:
        desk.link(who)
    ticket = practice.new_ticket()
    practice.assign(ticket, who)
    desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket, by=who)
    desk.deliver(ticket)
    desk.sweep()
    assert desk.only(ticket).state is State.ENDED
    return ticket


def left(desk: Desk, *, but: tuple[str, ...] = ("links", "token_caches")) -> str:
    """Everything in the database, apart from what is said to stay."""
    with desk.deployment.records.read() as connection:
        tables = [table for table in metadata.sorted_tables if table.name not in but]
        return "\n".join(f"{table.name}: {row}" for table in tables for row in connection.execute(sa.select(table)))


def names(practice: Practice, who: str = "technician") -> list[str]:
    person = practice.people[who]
    return [person["oid"], person["name"], person["mail"], f"'{person['helpdesk_account']}'"]


def verified(desk: Desk, practice: Practice, *tickets: str) -> verify.Report:
    with desk.deployment.records.read() as connection:
        lines = list(journal.export(connection))
    notes = "\n".join(note for ticket in tickets for note in practice.notes(ticket))
    return verify.verify(lines, verify.read_comments(notes))


def test_an_elevation_no_longer_names_its_technician_and_the_journal_verifies(  # type: ignore[no-untyped-def]
    desk: Desk, practice: Practice, erase
) -> None:
    ticket = worked(desk, practice)
    before = verified(desk, practice, ticket)
    assert all(name in left(desk) for name in names(practice))

    done = erase("--elevation", desk.only(ticket).id)

    assert done.exit_code == 0, done.output
    rows = left(desk, but=("links", "token_caches", "tenant_answers"))
    assert [name for name in names(practice) if name in rows] == []
    assert "Password reset" not in rows.replace("password-reset", "")  # the justification
    report = verified(desk, practice, ticket)
    assert report.ok, verify.render(report)
    assert (report.private_open, report.private_closed) == (0, before.private_open)
    assert report.entries == before.entries + 1
    assert f"Erased {before.private_open} values" in done.output


def test_reviewers_views_that_name_the_technician_are_erased_and_others_are_not(  # type: ignore[no-untyped-def]
    desk: Desk, practice: Practice, erase
) -> None:
    worked(desk, practice)
    person = practice.people["technician"]
    with desk.deployment.records.write() as tx:
        views.save(tx, "t", "auditor", "Mondays", {"technician": f'"{person["name"]}"'}, now=desk.now())
        views.save(tx, "t", "auditor", f"What {person['name']} does", {"state": "ended"}, now=desk.now())
        views.save(tx, "t", "auditor", "Unusual", {"unusual": "any"}, now=desk.now())
        views.save(tx, "t", person["oid"], "Mine", {"unusual": "any"}, now=desk.now())

    assert erase("--technician", person["oid"]).exit_code == 0

    with desk.deployment.records.read() as connection:
        assert [it.name for it in views.of(connection, "t", "auditor")] == ["Unusual"]
        assert views.of(connection, "t", person["oid"]) == []


def test_the_entry_says_how_many_and_never_whom(desk: Desk, practice: Practice, erase) -> None:  # type: ignore[no-untyped-def]
    ticket = worked(desk, practice)
    it = desk.only(ticket)

    erase("--elevation", it.id)

    with desk.deployment.records.read() as connection:
        last = list(journal.export(connection))[-1]
    assert '"kind":"privacy.erased"' in last
    assert '"cause":"cli"' in last
    assert it.id not in last
    assert ticket not in last


def test_a_technician_is_erased_from_everything_they_did_and_others_are_not(  # type: ignore[no-untyped-def]
    desk: Desk, practice: Practice, erase
) -> None:
    tickets = [worked(desk, practice), worked(desk, practice, link=False), worked(desk, practice, "technician2")]

    done = erase("--technician", practice.people["technician"]["oid"])

    assert done.exit_code == 0, done.output
    assert "2 elevations" in done.output
    assert [name for name in names(practice)[:3] if name in left(desk)] == []
    assert "'technician')" not in left(desk)  # the account, as a value; the same word names other values
    assert all(name in left(desk) for name in names(practice, "technician2"))
    report = verified(desk, practice, *tickets)
    assert report.ok
    assert report.private_open
    assert report.private_closed


def test_what_is_still_open_is_not_erased(desk: Desk, practice: Practice, erase) -> None:  # type: ignore[no-untyped-def]
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    before = left(desk)

    for arguments in (
        ("--elevation", desk.only(ticket).id),
        ("--technician", practice.people["technician"]["oid"]),
    ):
        done = erase(*arguments)
        assert done.exit_code == 1
        assert "still open" in done.output

    assert left(desk) == before


def test_a_comment_that_is_still_to_be_written_is_waited_for(desk: Desk, practice: Practice, erase) -> None:  # type: ignore[no-untyped-def]
    ticket = worked(desk, practice)
    with desk.deployment.records.write() as tx:
        tx.execute(sa.text("UPDATE comments SET due_at = :now"), {"now": desk.now()})

    done = erase("--elevation", desk.only(ticket).id)

    assert done.exit_code == 1
    assert "comment" in done.output


def test_an_elevation_that_shares_its_role_with_another_ticket_leaves_that_one_whole(  # type: ignore[no-untyped-def]
    desk: Desk, practice: Practice, erase
) -> None:
    desk.link()
    first, second = practice.new_ticket(), practice.new_ticket()
    for ticket in (first, second):
        practice.assign(ticket)
        desk.deliver(ticket)
    practice.solve(first)
    desk.deliver(first)
    desk.sweep()

    assert erase("--elevation", desk.only(first).id).exit_code == 0

    desk.advance(timedelta(minutes=6))
    practice.solve(second)
    desk.deliver(second)
    desk.sweep()
    assert desk.only(second).state is State.ENDED
    assert practice.active_roles() == []
    assert desk.only(second).technician == practice.people["technician"]["name"]
    assert verified(desk, practice, first, second).ok


def test_nothing_happens_without_a_yes_or_twice(desk: Desk, practice: Practice, erase) -> None:  # type: ignore[no-untyped-def]
    ticket = worked(desk, practice)
    it = desk.only(ticket)
    before = left(desk)

    assert erase("--elevation", it.id, answer="n\n").exit_code == 1
    assert left(desk) == before
    assert erase().exit_code == 2
    assert erase("--elevation", it.id, answer="y\n").exit_code == 0
    again = erase("--elevation", it.id)
    assert (again.exit_code, "Nothing is kept" in again.output) == (1, True)
