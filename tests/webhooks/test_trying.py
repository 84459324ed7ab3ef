"""Try a rule. Contract: the whole analysis, for the rules in force and a file that is being edited; nothing is started,
written or kept, whatever is sent."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from integration.deployment import Deployment
from integration.records import administration as records
from integration.records import deliveries
from integration.records.tables import elevations, links
from integration.rules import SHIPPED, loads
from integration.tickets import TicketEvent
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import Browser, rows, words
from tests.webhooks.test_doors import PAYLOADS, elements
from webhooks.app import create_app
from webhooks.trying import LARGEST
from workers import trying

Open = Callable[..., Browser]
TRY = "/administration/try"
EDITED = SHIPPED.read_text().replace('duration = "30m"', 'duration = "15m"', 1)  # of password resets
CACHES = frozenset({"tenant_answers", "token_caches"})


def attempt(me: Browser, file: str | bytes | None = None, *, name: str = "edited.toml", **fields: str) -> TestResponse:
    data: dict[str, Any] = {"csrf_token": me.token(TRY), **fields}
    if file is not None:
        data["rules"] = (io.BytesIO(file.encode() if isinstance(file, str) else file), name)
    return me.client.post(TRY, data=data, content_type="multipart/form-data")


@pytest.fixture
def taken(desk: Desk, practice: Practice) -> str:
    """A ticket that the technician, who is linked, has; nobody has told us of it."""
    desk.link()
    ticket = practice.new_ticket(subject="canary-subject")
    practice.assign(ticket)
    return ticket


@pytest.mark.parametrize("who", ["auditor", "technician", None])
def test_nobody_but_an_administrator_tries_anything(browser: Open, taken: str, who: str | None) -> None:
    it, hidden = browser(who), 401 if who is None else 404
    answers = [it.get(TRY, query_string={"ticket": taken})]
    token = it.token("/")
    file = (io.BytesIO(EDITED.encode()), "x.toml")
    answers.append(it.client.post(TRY, data={"csrf_token": token, "ticket": taken, "rules": file}))
    for answer in answers:
        assert answer.status_code == hidden
        assert "canary-subject" not in answer.text
        assert "Password Administrator" not in answer.text


def test_a_file_without_the_token_is_not_looked_at(browser: Open, taken: str) -> None:
    me = browser("administrator")
    file = (io.BytesIO(EDITED.encode()), "x.toml")
    answer = me.client.post(TRY, data={"ticket": taken, "rules": file})
    assert answer.status_code == 400
    assert "This page is too old" in answer.text


def test_the_whole_analysis_of_a_ticket_is_shown_and_nothing_is_started(
    browser: Open, taken: str, deployment: Deployment, practice: Practice
) -> None:
    me = browser("administrator")
    before = rows(deployment, but=CACHES)
    for answer in (me.get(TRY, query_string={"ticket": taken}), attempt(me, ticket=f" #{taken} ")):
        page = words(answer)
        assert answer.status_code == 200
        assert "Password Administrator in the whole directory" in page
        assert "eligibilities are those that Entra told" in page
        assert "The ticket's category is" in page
        assert "Technician and requester are different people" in page
    assert rows(deployment, but=CACHES) == before
    assert practice.activation_requests() == []
    assert practice.notes(taken) == []


def test_who_gave_the_ticket_to_whom_and_whose_account_that_is_are_told(
    browser: Open, taken: str, deployment: Deployment, practice: Practice
) -> None:
    me = browser("administrator")
    technician = practice.people["technician"]
    page = words(me.get(TRY, query_string={"ticket": taken}))
    assert f"{technician['name']} · {technician['mail']}" in page
    assert "with their own hand and just now: that is a pick" in page
    assert f"to the sign-in of {technician['name']}" in page

    with deployment.records.write() as tx:
        tx.execute(links.update().values(address="before@practice.example"))
    page = words(me.get(TRY, query_string={"ticket": taken}))
    assert "as before@practice.example, which is not the account's address any more" in page
    assert "not linked to a sign-in" in page  # so nobody's eligibilities are asked for

    with deployment.records.write() as tx:
        tx.execute(links.update().values(suspended_at=datetime.now(UTC)))
    assert "suspended" in words(me.get(TRY, query_string={"ticket": taken}))

    practice.assign(taken, "technician2", by="technician")
    page = words(me.get(TRY, query_string={"ticket": taken}))
    assert f"somebody else ({technician['helpdesk_account']}): the ticket gets the link" in page
    assert "none: the first sign-in makes it" in page


def test_the_newest_tickets_can_be_picked_each_once(browser: Open, desk: Desk, practice: Practice, taken: str) -> None:
    desk.deliver(taken)
    practice.assign(taken, "technician2", by="technician")
    desk.deliver(taken)
    with desk.deployment.records.write() as tx:
        newest = sa.select(sa.func.max(elevations.c.id)).where(elevations.c.ticket == taken).scalar_subquery()
        tx.execute(elevations.update().where(elevations.c.id == newest).values(rule="the-newest-one-s"))
    text = browser("administrator").get(TRY).text
    assert text.count(f'<option value="{taken}">') == 1
    assert f'<option value="{taken}">the-newest-one-s' in text


def test_both_files_stand_side_by_side_with_what_differs(
    browser: Open, desk: Desk, taken: str, practice: Practice, tmp_path: Path
) -> None:
    desk.deliver(taken)
    desk.sweep()
    practice.solve(taken)
    desk.deliver(taken)
    desk.sweep()
    asked = len(practice.activation_requests())
    me = browser("administrator")
    before = rows(desk.deployment, but=CACHES)
    files = set(tmp_path.rglob("*"))

    page = words(attempt(me, EDITED, ticket=taken))

    assert "The two files answer differently" in page
    assert "edited.toml" in page
    assert "If it were open".casefold() in page.casefold()
    assert "1 ticket would have got another answer." in page
    assert "1 was compared." in page
    assert "15 min" in page
    assert rows(desk.deployment, but=CACHES) == before
    assert len(practice.activation_requests()) == asked
    assert set(tmp_path.rglob("*")) == files, "the file is kept nowhere"
    assert "Both files answer the same" in words(attempt(me, SHIPPED.read_text(), ticket=taken))
    assert desk.deployment.rules.digest == loads(SHIPPED.read_bytes(), SHIPPED).digest


def test_mistakes_are_shown_with_their_lines(browser: Open, taken: str) -> None:
    me = browser("administrator")
    answer = attempt(me, '[[rule]]\nname = "x"\nrole = "y"\n', ticket=taken)
    assert answer.status_code == 400
    page = words(answer)
    assert "edited.toml" in page
    assert "Line 3:" in page
    assert "Did you mean" in page
    for hostile in (
        b"\xff\xfe",
        b"a = " + b"[" * 50_000,
        b"x",
        b"[[rule]]\nname = '\x00'\n",
        b"mode = 1" + b"0" * 9000,
    ):
        assert attempt(me, hostile).status_code == 400, hostile[:20]


def test_a_file_that_is_too_large_is_refused_in_words_and_other_forms_stay_small(browser: Open) -> None:
    me = browser("administrator")
    answer = attempt(me, b"#" * LARGEST)
    assert answer.status_code == 413
    assert "A rules file may have 256 KiB" in answer.text
    assert attempt(me, EDITED + "#" * 200_000).status_code == 200
    stranger = browser("technician")
    file = (io.BytesIO(b"#" * 200_000), "x.toml")
    assert stranger.client.post(TRY, data={"csrf_token": stranger.token(), "rules": file}).status_code == 413
    large = me.client.post("/administration/examine", data={"csrf_token": me.token(), "x": "y" * 40_000})
    assert large.status_code == 413


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ticket": ""}, "Name a ticket, or choose a rules file."),
        ({"ticket": "99999"}, "There is no ticket 99999 in practice"),
        ({"ticket": "1", "connection": "elsewhere"}, "No helpdesk of this name"),
        ({"ticket": "../../etc"}, "in practice that our account may see"),
    ],
)
def test_what_cannot_be_tried_is_said(browser: Open, fields: dict[str, str], says: str) -> None:
    answer = attempt(browser("administrator"), **fields)
    assert answer.status_code == 400
    assert says in words(answer)


def test_the_address_of_a_ticket_names_its_helpdesk_too(
    deployment: Deployment, practice: Practice, tmp_path: Path, taken: str
) -> None:
    one = deployment.settings.helpdesks["practice"]
    other = {**one, "url": "http://127.0.0.1:9", "secrets": {"first": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"}}
    given = settings_for(
        practice, deployment.settings.database_url, tmp_path, helpdesks={"another": other, "practice": one}
    )
    me = Browser(create_app(Deployment(given)).test_client(), practice)
    me.sign_in("administrator")
    assert '<option value="practice"' in me.get(TRY).text
    address = deployment.helpdesks["practice"].ticket_url(taken)
    assert "Password Administrator" in words(attempt(me, ticket=address, connection="another"))


def test_a_ticket_of_nobody_is_decided_for_somebody_who_is_eligible(browser: Open, practice: Practice) -> None:
    page = words(attempt(browser("administrator"), ticket=practice.new_ticket()))
    assert "Nobody is assigned" in page
    assert "Password Administrator in the whole directory" in page


def test_a_technician_who_never_signed_in_counts_as_eligible(browser: Open, practice: Practice) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)
    assert "is not linked to a sign-in" in words(attempt(browser("administrator"), ticket=ticket))


def test_a_tenant_that_does_not_answer_is_said_and_both_files_are_tried(
    browser: Open, taken: str, practice: Practice
) -> None:
    me = browser("administrator")
    practice.control("/faults", {"match": {"path": "roleEligibility"}, "kind": "status", "status": 500, "times": 50})
    page = words(attempt(me, EDITED, ticket=taken))
    assert "Entra does not tell" in page
    assert "15 min" in page


def test_last_month_is_counted_to_the_last_ticket_on_both_databases(both: Deployment, practice: Practice) -> None:
    desk = Desk(both, practice)
    desk.link()
    tickets = [practice.new_ticket() for _ in range(3)]
    practice.assign(tickets[0])
    practice.assign(tickets[1], "ineligible")
    plants = practice.new_ticket("Plants")
    practice.assign(plants)
    now = datetime.now(UTC)

    def came(ticket: str, at: datetime, desk: str = "practice") -> None:
        event = TicketEvent(f"{ticket}{at}", ticket, "ticket.assigned", "first")
        with both.records.write() as tx:
            deliveries.store(tx, desk, event, now=at)

    for ticket in (*tickets, plants, "99999"):
        came(ticket, now)
    came("1", now, "no-longer-connected")
    came("2", now - timedelta(days=31))
    came(tickets[0], now - timedelta(hours=1))
    edited = loads(EDITED.encode(), Path("x"))

    def month(**more: Any) -> trying.Month:
        return trying.month(both, edited, now=now, **{"most": 100, "patience": timedelta(seconds=20), **more})

    found = month()
    assert sorted(it.ticket.number for it in found.changed) == sorted(tickets[:2])
    assert (found.same, found.nobodys, found.gone, found.unread, found.late, found.beyond) == (1, 1, 1, 1, 0, 0)
    assert month(most=4).beyond == 2
    with both.records.read() as connection:
        assert len(records.pasts(connection, since=now - trying.LATELY, limit=100)[0]) == 6

    began = time.monotonic()
    late = month(patience=timedelta(0))
    assert late.late + late.unread + late.gone + late.compared + late.nobodys == 6
    assert time.monotonic() - began < 5


def test_last_months_technician_decides_and_not_who_has_the_ticket_now(
    desk: Desk, taken: str, practice: Practice
) -> None:
    """Their eligibilities are those that the tenant told then."""
    desk.deliver(taken)
    desk.sweep()
    practice.assign(taken, "ineligible")
    edited = loads(EDITED.replace('"Password Administrator",\n', "").encode(), Path("x"))
    found = trying.month(desk.deployment, edited, now=desk.now(), most=9, patience=timedelta(seconds=20))
    (it,) = found.changed
    assert (it.past.account, it.past.target_name, found.strangers) == ("technician", "Password Administrator", 0)
    assert [getattr(each, "target_name", "") for each in it.after] == ["Helpdesk Administrator"]


def test_hostile_words_add_no_element(browser: Open, desk: Desk, practice: Practice) -> None:
    """Threat 30: of the ticket, of the file and of its name."""
    desk.link()
    me = browser("administrator")

    def page(text: str, *, mistake: bool = False) -> list[tuple[str, tuple[str, ...]]]:
        ticket = practice.new_ticket(subject=text)
        practice.assign(ticket)
        quoted = text.replace("'", "")
        file = EDITED.replace('"password-reset"', f"'{quoted}'").replace('start = "on_pick"', f"help = '{quoted}'")
        file = file + f"{quoted} = '{quoted}'" if mistake else file
        name = text.replace('"', "%22")  # as browsers write it
        answer = attempt(me, file, name=name, ticket=ticket, connection="practice")
        assert answer.status_code == (400 if mistake else 200), answer.text
        found = elements(answer.text)
        return [it for it in found if it[0] not in ("details", "summary")]

    plain = page("x")
    for payload in PAYLOADS:
        if "'" not in payload:
            assert page(payload) == plain, payload
    wrong = page("x y", mistake=True)
    for payload in PAYLOADS:
        assert page(payload, mistake=True) == wrong, payload


def test_the_stored_ticket_is_not_changed_by_being_decided(practice: Practice, deployment: Deployment) -> None:
    ticket = deployment.helpdesks["practice"].ticket(practice.new_ticket(), now=datetime.now(UTC))
    tried = trying.one(deployment, replace(ticket), None, now=datetime.now(UTC))
    assert tried.ticket == ticket
    assert tried.after is None
