"""My roles: what a technician is eligible for, from what is kept, and the way from there to a ticket's page."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from integration.deployment import Deployment
from integration.entra.pim import Active, Policy
from integration.records import people, roles
from integration.targets import Eligibility, Target, TargetKind
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import Browser, words
from tests.webhooks.test_doors import PAYLOADS, elements
from tests.workers.steps import PASSWORD_ADMINISTRATOR, by_hand, end_now, fault, mend, pick
from tests.workers.test_other_targets import rules
from webhooks import roles as pages
from webhooks.app import create_app
from workers import roles as work

Opened = Callable[..., Browser]
ROLE, GROUP, AZURE = TargetKind.DIRECTORY_ROLE, TargetKind.GROUP, TargetKind.AZURE_ROLE
NOW = datetime.now(UTC)
POLICY = Policy(timedelta(hours=8), mfa=True, justification=True, ticketing=True, approval=True, context=None)
AT = "/roles/ticket"


@pytest.fixture
def ruled(practice: Practice, tmp_path: Path) -> Iterator[Deployment]:
    """With rules for all three kinds."""
    place = tmp_path / "rules.toml"
    place.write_text(rules(practice))
    made = Deployment(settings_for(practice, f"sqlite:///{tmp_path}/ruled.sqlite", tmp_path, rules_file=place))
    made.records.migrate()
    yield made
    made.records.dispose()


def opened(deployment: Deployment, practice: Practice, who: str = "technician") -> Browser:
    me = Browser(create_app(deployment).test_client(), practice)
    assert me.sign_in(who).status_code == 303
    return me


def whose(practice: Practice, who: str = "technician") -> tuple[str, str]:
    return practice.facts["tenant_id"], practice.people[who]["oid"]


def read(deployment: Deployment, practice: Practice, who: str = "technician") -> None:
    """What the task does."""
    with deployment.records.write() as tx:
        roles.want(tx, *whose(practice, who), now=datetime.now(UTC))
    while work.refresh(deployment, *whose(practice, who)):
        pass


def kept(
    deployment: Deployment,
    practice: Practice,
    *found: Eligibility,
    active: tuple[tuple[Target, Active], ...] = (),
    policy: Policy | None = POLICY,
) -> None:
    """As if the tenant had just told this."""
    now = datetime.now(UTC)
    with deployment.records.write() as tx:
        for kind in TargetKind:
            mine = [it for it in found if it.target.kind is kind]
            roles.keep_eligible(tx, *whose(practice), kind, mine, now=now)
            roles.keep_active(tx, *whose(practice), kind, [it for it in active if it[0].kind is kind], now=now)
        for it in found:
            roles.keep_policy(tx, *whose(practice), it.target, policy, now=now)


def sections(text: str) -> dict[str, list[str]]:
    """The names of the roles below each heading."""
    parts = re.split(r"<h2[^>]*>([^<]+?) <span", text)[1:]
    return {
        title: re.findall(r"<strong>([^<]+)</strong>", body)
        for title, body in zip(parts[::2], parts[1::2], strict=True)
    }


def test_all_kinds_are_listed_by_name_with_place_policy_and_end(ruled: Deployment, practice: Practice) -> None:
    end = NOW + timedelta(days=5)
    eligible = [{"role": "Reports Reader", "end": end.isoformat()}, "Password Administrator"]
    practice.control("/people/technician", {"eligible": eligible})
    practice.control("/policies/Reports Reader", {"approval_required": True, "maximum_duration": "PT4H"})
    me = opened(ruled, practice)
    read(ruled, practice)
    answer = me.get("/roles")
    text, said = answer.text, words(answer)
    subscription = practice.people["technician"]["eligible_azure"][0]["scope"].rsplit("/")[-1]
    assert sections(text) == {
        "Directory roles": ["Password Administrator", "Reports Reader"],
        # The tenant tells ids of groups; the rules have a name for one of them.
        "Groups": [practice.people["technician"]["eligible_groups"][1]["groupId"], "Exchange helpers"],
        "Azure resources": ["Reader on practice", f"Virtual Machine Administrator Login on {subscription}"],
    }
    assert re.search("4 h at most · approval ?justification, ticket: sent for you", said)
    assert "Reset the password of people who hold no administrator role." in said
    assert re.search(rf"{end:%Y-%m-%d} ?in [45] days", said)
    assert "no end" in said
    assert "The whole directory" in said
    assert "As a member" in said
    assert re.search("Resource group ?practice", said)
    assert "Entra does not tell" in said, "Azure tells no policies to who is eligible only"
    assert "6 roles" in said
    assert re.search(r"as of \d\d:\d\d:\d\d", said)


def test_the_list_is_the_same_on_both_databases(both: Deployment, practice: Practice) -> None:
    me = opened(both, practice)
    read(both, practice)
    assert sections(me.get("/roles").text) == {
        "Directory roles": [
            "Authentication Administrator",
            "Cloud Device Administrator",
            "Helpdesk Administrator",
            "Password Administrator",
            "Reports Reader",
        ]
    }
    assert "Not listed: Groups, Azure resources." in words(me.get("/roles"))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("password", ["Authentication Administrator", "Password Administrator"]),
        ("PASSWORD holds NO end", []),
        ("approval", ["Password Administrator"]),
        ("whole directory c1", ["Authentication Administrator"]),
        ("  ", ["Authentication Administrator", "Password Administrator"]),
        ("active", ["Authentication Administrator"]),
        ("966707d0", ["Password Administrator"]),
    ],
)
def test_a_filter_in_the_address_finds_what_the_row_says(
    browser: Opened, deployment: Deployment, practice: Practice, query: str, found: list[str]
) -> None:
    mfa = Target(ROLE, "c4e39bd9-1100-46d3-8c65-fb160da0071f", "/")
    both = (
        Eligibility(PASSWORD_ADMINISTRATOR, "Password Administrator"),
        Eligibility(mfa, "Authentication Administrator"),
    )
    kept(deployment, practice, *both, active=((mfa, Active("", None, NOW + timedelta(hours=1), True)),))
    plain = Policy(timedelta(hours=8), mfa=False, justification=True, ticketing=True, approval=False, context="c1")
    approved = Policy(timedelta(hours=1), mfa=True, justification=True, ticketing=True, approval=True, context=None)
    with deployment.records.write() as tx:
        roles.keep_policy(tx, *whose(practice), mfa, plain, now=NOW)
        roles.keep_policy(tx, *whose(practice), PASSWORD_ADMINISTRATOR, approved, now=NOW)
    text = browser("technician").get("/roles", query_string={"q": query}).text
    assert sections(text).get("Directory roles", []) == found


def test_a_filter_that_finds_nothing_says_so_and_offers_everything(
    browser: Opened, deployment: Deployment, practice: Practice
) -> None:
    kept(deployment, practice, Eligibility(PASSWORD_ADMINISTRATOR, "Password Administrator"))
    answer = browser("technician").get("/roles?q=nothing-like-it")
    assert "No role of yours holds “nothing-like-it”. Show all" in words(answer)
    assert 'value="nothing-like-it"' in answer.text
    assert "0 of 1" in words(answer)


def test_the_first_visit_says_that_it_is_read_and_the_next_shows_it(
    browser: Opened, deployment: Deployment, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(pages, "wake_roles", lambda *who: asked.append(who) or True)
    me = browser("technician")
    for _ in range(3):
        answer = me.get("/roles")
        assert "Your roles are being read" in words(answer)
    assert asked == [whose(practice)], "one reading at a time, however often somebody looks"
    assert '<noscript><meta http-equiv="refresh" content="3;url=/roles?by-itself"></noscript>' in answer.text
    assert me.get("/roles/status").json == {"reading": True, "version": ""}
    while work.refresh(deployment, *whose(practice)):
        pass
    status = me.get("/roles/status").json
    assert status is not None
    assert not status["reading"]
    assert status["version"]
    text = me.get("/roles").text
    assert "Password Administrator" in text
    assert 'http-equiv="refresh"' not in text
    assert asked == [whose(practice)]


def test_a_filter_is_kept_while_the_page_waits(browser: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "wake_roles", lambda *who: True)
    text = browser("technician").get("/roles?q=a%26b").text
    assert 'content="3;url=/roles?q=a%26b&amp;by-itself"' in text


def test_what_is_old_is_shown_and_read_again_behind_the_page(
    browser: Opened, deployment: Deployment, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(pages, "wake_roles", lambda *who: asked.append(who) or True)
    kept(deployment, practice, Eligibility(PASSWORD_ADMINISTRATOR, "Password Administrator"))
    me = browser("technician")
    assert "being read again" not in words(me.get("/roles"))
    monkeypatch.setattr(work, "FRESH", timedelta())
    before = len(practice.log()["requests"])
    answer = words(me.get("/roles"))
    assert "Password Administrator" in answer
    assert "being read again" in answer
    assert len(practice.log()["requests"]) == before, "no page waits for the tenant"
    assert asked == [whose(practice)]


def test_while_the_queue_is_away_the_page_says_so_and_shows_what_it_has(
    browser: Opened, deployment: Deployment, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = browser("technician")
    assert "the service behind these pages is not answering" in words(me.get("/roles"))
    kept(deployment, practice, Eligibility(PASSWORD_ADMINISTRATOR, "Password Administrator"))
    monkeypatch.setattr(work, "FRESH", timedelta())
    said = words(me.get("/roles"))
    assert "not answering. What is shown was read before." in said
    assert "Password Administrator" in said


def test_a_source_that_cannot_be_read_is_named_and_the_rest_is_shown(
    ruled: Deployment, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = opened(ruled, practice)
    fault(practice, "status", side="arm", status=503, times=99)
    read(ruled, practice)
    said = words(me.get("/roles"))
    assert re.search(r"Azure resources could not be read at \d\d:\d\d:\d\d UTC\. Microsoft Entra is busy", said)
    assert "So it is missing here." in said
    assert set(sections(me.get("/roles").text)) == {"Directory roles", "Groups"}
    mend(practice)
    monkeypatch.setattr(work, "FRESH", timedelta())
    read(ruled, practice)
    fault(practice, "status", side="arm", status=503, times=99)
    read(ruled, practice)
    assert re.search(r"What is shown of it is as of \d\d:\d\d:\d\d UTC\.", words(me.get("/roles")))
    assert len(sections(me.get("/roles").text)["Azure resources"]) == 2


def test_without_a_valid_sign_in_one_button_mends_it(
    browser: Opened, deployment: Deployment, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    me = browser("technician")
    deployment.tenant.forget(*whose(practice), now=NOW)
    read(deployment, practice)
    answer = me.get("/roles")
    assert "Directory roles could not be read" in words(answer)
    assert 'name="back_to" value="/roles"' in answer.text
    monkeypatch.setattr(pages, "wake_roles", lambda *who: asked.append(who) or True)
    assert me.sign_in("technician", back_to="/roles").headers["Location"] == "/roles"
    me.get("/roles")
    assert asked == [whose(practice)], "not a minute later, but now"


def test_who_is_eligible_for_nothing_is_told_whom_to_ask(
    browser: Opened, deployment: Deployment, practice: Practice
) -> None:
    me = browser("ineligible")
    read(deployment, practice, "ineligible")
    said = words(me.get("/roles"))
    assert "You are not eligible for any role." in said
    assert "Ask your administrator." in said


def test_nobody_sees_another_technicians_roles(browser: Opened, deployment: Deployment, practice: Practice) -> None:
    kept(deployment, practice, Eligibility(PASSWORD_ADMINISTRATOR, "Password Administrator"))
    other = browser("technician2")
    assert "Password Administrator" not in other.get("/roles").text
    assert other.get(AT, query_string={"role": PASSWORD_ADMINISTRATOR.key}).status_code == 404


def test_an_eligibility_that_has_ended_is_not_shown(
    browser: Opened, deployment: Deployment, practice: Practice
) -> None:
    kept(
        deployment, practice, Eligibility(PASSWORD_ADMINISTRATOR, "Password Administrator", NOW - timedelta(minutes=1))
    )
    assert "You are not eligible for any role." in words(browser("technician").get("/roles"))


# What is active now


def test_what_runs_for_a_ticket_leads_to_it_and_is_gone_when_it_was_given_back(
    desk: Desk, browser: Opened, deployment: Deployment, practice: Practice
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    read(deployment, practice)
    me = browser("technician")
    text = me.get("/roles").text
    assert f'href="/elevations/{desk.only(ticket).id}">for ticket {ticket}</a>' in text
    assert text.count("state-active") == 1
    desk.advance(timedelta(minutes=6))
    end_now(desk, ticket)
    desk.sweep()
    assert "state-active" not in me.get("/roles").text, "although the tenant was not asked again"


def test_what_was_activated_in_a_portal_is_shown_with_its_end(
    desk: Desk, browser: Opened, deployment: Deployment, practice: Practice
) -> None:
    practice.control("/people/technician", {"standing": ["Reports Reader"]})
    me = browser("technician")
    by_hand(desk, practice)
    read(deployment, practice)
    said = words(me.get("/roles"))
    assert re.search(r"Active ?until (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC", said), "its day too, if tomorrow"
    assert re.search("Active ?assigned to you, not activated", said)


# From a role to a ticket


def key_of(role: str, practice: Practice) -> str:
    (found,) = [it for it in practice.people["technician"]["eligible"] if it["role"] == role]
    return f"entra-role:{found['roleDefinitionId']}@/"


@pytest.fixture
def me(desk: Desk, browser: Opened, deployment: Deployment, practice: Practice) -> Browser:
    """The technician, whose roles are known and whose helpdesk account is linked."""
    desk.link()
    mine = browser("technician")
    read(deployment, practice)
    return mine


def test_a_role_offers_the_tickets_that_are_assigned_to_its_technician(me: Browser, practice: Practice) -> None:
    mine, others = practice.new_ticket(subject="Mine <b>"), practice.new_ticket(subject="Another's")
    solved = practice.new_ticket(subject="Solved")
    for ticket in (mine, solved):
        practice.assign(ticket)
    practice.assign(others, "technician2")
    practice.solve(solved)
    key = key_of("Password Administrator", practice)
    answer = me.get(AT, query_string={"role": key})
    assert f"{mine} Mine <b>" in words(answer)
    assert "Another" not in answer.text
    assert "Solved" not in answer.text
    link = re.search(r'class="pick" href="([^"]+)"', answer.text)
    assert link
    page = me.get(link[1].replace("&amp;", "&"))
    assert page.status_code == 200
    assert "Password Administrator" in page.text
    assert "You came for" not in page.text


def test_a_typed_number_goes_on_to_the_tickets_page(me: Browser, practice: Practice) -> None:
    key = key_of("Password Administrator", practice)
    answer = me.get(AT, query_string={"role": key, "connection": "practice", "ticket": " #4821 "})
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/elevate/practice/4821?role=entra-role:966707d0")


@pytest.mark.parametrize(
    ("desk_name", "number"),
    [("practice", "../4821"), ("practice", ""), ("practice", "48 21"), ("elsewhere", "1"), ("practice", "x" * 65)],
)
def test_what_is_no_number_of_that_helpdesk_is_said_beside_the_field(
    me: Browser, practice: Practice, desk_name: str, number: str
) -> None:
    query = {"role": key_of("Password Administrator", practice), "connection": desk_name, "ticket": number}
    answer = me.get(AT, query_string=query)
    assert answer.status_code == 400 or len(number) > 64
    assert answer.status_code == 303 or "That is no ticket number of this helpdesk" in answer.text


def test_where_the_rules_give_another_role_the_tickets_page_says_so(me: Browser, practice: Practice) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)
    answer = me.get(f"/elevate/practice/{ticket}", query_string={"role": key_of("Reports Reader", practice)})
    assert "You came for Reports Reader. For this ticket the rules give another role" in words(answer)
    assert '<h1 class="h3 text-break">Password Administrator</h1>' in answer.text
    unknown = me.get(f"/elevate/practice/{ticket}", query_string={"role": "entra-role:Evil@/"})
    assert "Evil" not in unknown.text.replace("role=entra-role:Evil", "")


def test_the_way_through_the_list_starts_an_elevation_like_any_other(
    me: Browser, desk: Desk, practice: Practice
) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)
    page = f"/elevate/practice/{ticket}?role={key_of('Password Administrator', practice)}"
    shown = re.search(r'name="shown" value="([^"]+)"', me.get(page).text)
    assert shown
    answer = me.press(page, page=page, shown=shown[1], seconds="900")
    assert answer.status_code == 303
    desk.sweep()
    assert desk.only(ticket).state == "active"


def test_a_helpdesk_that_does_not_answer_leaves_the_field(
    me: Browser, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(practice, "status", side="helpdesk", status=503, times=9)
    query = {"role": key_of("Password Administrator", practice)}
    said = words(me.get(AT, query_string=query))
    assert "practice does not list your tickets at the moment; type the number." in said
    assert "Ticket number" in said


def test_a_helpdesk_that_is_slow_keeps_nobody_waiting(
    me: Browser, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PATIENCE", timedelta(milliseconds=50))
    fault(practice, "slow_answer", side="helpdesk", seconds=2, times=9)
    query = {"role": key_of("Password Administrator", practice)}
    assert "type the number" in words(me.get(AT, query_string=query))


def test_a_role_that_no_rule_names_says_so_before_anybody_types(ruled: Deployment, practice: Practice) -> None:
    mine = opened(ruled, practice)
    read(ruled, practice)
    assert "no rule gives it" in words(mine.get("/roles"))
    said = words(mine.get(AT, query_string={"role": key_of("Reports Reader", practice)}))
    assert "No rule gives this role here" in said
    # A rule by the requester's unit may give it wherever it is held.
    said = words(mine.get(AT, query_string={"role": key_of("Authentication Administrator", practice)}))
    assert "No rule gives this role here" not in said


def test_of_several_helpdesks_one_is_chosen(
    practice: Practice, tmp_path: Path, app: Flask, deployment: Deployment
) -> None:
    settings = deployment.settings
    other = {**settings.helpdesks["practice"], "secrets": {"other": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"}}
    both = {"practice": settings.helpdesks["practice"], "second": other}
    made = Deployment(settings.model_copy(update={"helpdesks": both}))
    mine = opened(made, practice)
    read(made, practice)
    query = {"role": key_of("Password Administrator", practice)}
    assert '<select class="form-select" id="desk" name="connection">' in mine.get(AT, query_string=query).text
    answer = mine.get(AT, query_string={**query, "connection": "second", "ticket": "7"})
    assert answer.headers["Location"].startswith("/elevate/second/7?")
    made.records.dispose()


# What comes from outside


def hostile(text: str) -> list[Eligibility]:
    targets = [Target(ROLE, f"id-{text}", f"/administrativeUnits/{text}"), Target(GROUP, text, "member")]
    targets += [Target(GROUP, f"g-{text}", text), Target(AZURE, f"a-{text}", f"/subscriptions/s/resourceGroups/{text}")]
    return [Eligibility(target, f"{number} {text}", NOW + timedelta(days=3)) for number, target in enumerate(targets)]


def test_hostile_names_add_no_element_and_break_no_page(ruled: Deployment, practice: Practice) -> None:
    """Threat 30: names of roles and scopes come from the tenant, a filter from whoever made the link."""
    mine = opened(ruled, practice)

    def shown(text: str) -> list[Any]:
        with ruled.records.write() as tx:
            people.forget_answers(tx, *whose(practice))
        found = hostile(text)
        active = tuple((it.target, Active("", None, NOW + timedelta(hours=2), True)) for it in found)
        told = Policy(timedelta(hours=1), True, True, True, True, text, (text,))
        kept(ruled, practice, *found, active=active, policy=told)
        answers = [mine.get("/roles"), mine.get("/roles", query_string={"q": text})]
        answers += [mine.get(AT, query_string={"role": it.target.key}) for it in found]
        answers += [mine.get(AT, query_string={"role": found[0].target.key, "ticket": text, "connection": text})]
        assert [answer.status_code for answer in answers] == [200] * (len(answers) - 1) + [400]
        assert all("\u202e" not in readable(answer.text) for answer in answers)
        return [elements(answer.text) for answer in answers]

    plain = shown("x")
    for payload in (*PAYLOADS, "%(id)s %s %%", "\u202egnp.exe", "x" * 900):
        found = shown(payload)
        assert found[0] == plain[0], payload
        assert found[2:] == plain[2:], payload


def readable(text: str) -> str:
    """What can be read: not the addresses, which carry a key back as it is."""
    return re.sub(r'(href|value)="[^"]*"', "", text)
