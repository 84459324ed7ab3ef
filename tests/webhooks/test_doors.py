"""Who may do what on which page, and what every answer carries: generated from the app's own routes."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from flask import Flask

from integration.deployment import Deployment
from tests.conftest import Practice, settings_for
from tests.webhooks.conftest import SIGNED_IN, Browser, rows
from webhooks.app import MACHINES, create_app

Open = Callable[..., Browser]
PEOPLE = (None, "technician", "technician2", "requester", "auditor", "administrator")
TO_SIGN_IN, NOTHING, REFUSED = 401, 404, 403
# Answers to: nobody, the technician whose elevation it is, another technician, requester, auditor, administrator.
MATRIX: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "/"): (401, 200, 200, 200, 200, 200),
    ("GET", "/now/status"): (401, 200, 200, 200, 200, 200),
    ("GET", "/earlier"): (401, 200, 200, 200, 200, 200),
    ("GET", "/account"): (401, 200, 200, 200, 200, 200),
    ("GET", "/elevate/<connection>/<ticket>"): (401, 303, 403, 403, 403, 403),
    ("POST", "/elevate/<connection>/<ticket>"): (401, 303, 403, 403, 403, 403),
    ("GET", "/elevations/<elevation_id>"): (401, 200, 404, 404, 404, 404),
    ("GET", "/elevations/<elevation_id>/status"): (401, 200, 404, 404, 404, 404),
    ("POST", "/elevations/<elevation_id>/end"): (401, 303, 404, 404, 404, 404),
    ("POST", "/elevations/<elevation_id>/longer"): (401, 303, 404, 404, 404, 404),
    ("POST", "/elevations/<elevation_id>/ticket"): (401, 404, 404, 404, 404, 404),
    ("GET", "/roles"): (401, 200, 200, 200, 200, 200),
    ("GET", "/roles/status"): (401, 200, 200, 200, 200, 200),
    ("GET", "/roles/ticket"): (401, 303, 303, 303, 303, 303),
    ("GET", "/approvals"): (401, 200, 200, 200, 200, 200),
    ("GET", "/approvals/<request_id>"): (401, 303, 303, 303, 303, 303),
    ("POST", "/approvals/<request_id>"): (401, 409, 409, 409, 409, 409),
    ("GET", "/break-glass"): (401, 404, 404, 404, 404, 404),
    ("POST", "/break-glass"): (401, 404, 404, 404, 404, 404),
    ("GET", "/review/break-glass"): (401, 404, 404, 404, 200, 200),
    ("GET", "/review/watched"): (401, 404, 404, 404, 200, 200),
    ("POST", "/review/<elevation_id>/reviewed"): (401, 404, 404, 404, 404, 404),
    ("GET", "/review/month"): (401, 404, 404, 404, 200, 200),
    ("POST", "/review/views"): (401, 404, 404, 404, 400, 400),
    ("POST", "/review/views/<view_id>/delete"): (401, 404, 404, 404, 404, 404),
    ("GET", "/review"): (401, 404, 404, 404, 200, 200),
    ("GET", "/review/<elevation_id>"): (401, 404, 404, 404, 200, 200),
    ("GET", "/review/export.csv"): (401, 404, 404, 404, 200, 200),
    ("GET", "/administration"): (401, 404, 404, 404, 404, 200),
    ("POST", "/administration/examine"): (401, 404, 404, 404, 404, 303),
    ("GET", "/administration/rules"): (401, 404, 404, 404, 404, 200),
    ("GET", "/administration/try"): (401, 404, 404, 404, 404, 200),
    ("POST", "/administration/try"): (401, 404, 404, 404, 404, 400),
    ("GET", "/administration/sign-ins"): (401, 404, 404, 404, 404, 200),
    ("GET", "/administration/sign-ins/<tid>/<oid>"): (401, 404, 404, 404, 404, 404),
    ("POST", "/administration/sign-ins/<tid>/<oid>"): (401, 404, 404, 404, 404, 409),
    ("POST", "/sign-in"): (200, 200, 200, 200, 200, 200),
    ("GET", "/sign-in/callback"): (400, 400, 400, 400, 400, 400),
    ("GET", "/link/<connection>/<ticket>"): (401, 303, 403, 403, 403, 403),
    ("POST", "/link/<connection>/<ticket>"): (401, 303, 403, 403, 403, 403),
    ("POST", "/links/end"): (401, 404, 404, 404, 404, 404),
    ("POST", "/now/end-all"): (401, 303, 303, 303, 303, 303),
    ("POST", "/forget-sign-in"): (401, 200, 200, 200, 200, 200),
    ("POST", "/sign-out"): (200, 200, 200, 200, 200, 200),
    ("GET", "/embed/<connection>/<ticket>"): (200, 200, 200, 200, 200, 200),
    ("GET", "/embed/<connection>/<ticket>/status"): (401, 401, 401, 401, 401, 401),
    ("POST", "/embed/<connection>"): (404, 404, 404, 404, 404, 404),  # the practice helpdesk signs no frame
    ("GET", "/healthz"): (200, 200, 200, 200, 200, 200),
    ("GET", "/readyz"): (200, 200, 200, 200, 200, 200),
    ("GET", "/metrics"): (404, 404, 404, 404, 404, 404),
    ("POST", "/panels/<connection>"): (404, 404, 404, 404, 404, 404),  # this helpdesk signs no press
    ("POST", "/webhooks/<connection>"): (401, 401, 401, 401, 401, 401),
    ("GET", "/static/<path:filename>"): (200, 200, 200, 200, 200, 200),
    ("GET", "/bootstrap/static/<path:filename>"): (200, 200, 200, 200, 200, 200),
}


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def routes(app: Flask) -> set[tuple[str, str]]:
    rules = [rule for each in (app, *app.extensions[MACHINES]) for rule in each.url_map.iter_rules()]
    return {(method, rule.rule) for rule in rules for method in (rule.methods or ()) & {"GET", "POST"}}


def address(rule: str, *, elevation: str = "01M86JXAYCC19MB5T8HMDN68SC", ticket: str = "1") -> str:
    file = "css/bootstrap.min.css" if rule.startswith("/bootstrap") else "elevate.css"
    given = {
        "elevation_id": elevation,
        "connection": "practice",
        "ticket": ticket,
        "request_id": "none",
        "view_id": "none",
        "tid": "nobody",
        "oid": "nobody",
        "path:filename": file,
    }
    for name, value in given.items():
        rule = rule.replace(f"<{name}>", value)
    return rule


def test_each_route_and_role_has_its_answer_in_the_matrix(
    app: Flask, browser: Open, elevated: str, deployment: Deployment
) -> None:
    """Threats 20, 21 and 37. A route that is not in the matrix fails; who may do nothing is told nothing."""
    assert routes(app) == set(MATRIX)
    ticket = _ticket(deployment, elevated)
    theirs = SIGNED_IN | {"examinations"}  # an administrator may ask for one
    before = rows(deployment, but=theirs)
    browsers = {who: browser(who) for who in PEOPLE}
    # The technician goes last: what they may do changes what the others would see.
    order = [PEOPLE.index(who) for who in (None, "technician2", "requester", "auditor", "administrator", "technician")]
    for column in order:
        if PEOPLE[column] == "technician":
            assert rows(deployment, but=theirs) == before
        for (method, rule), answers in MATRIX.items():
            if rule in ("/sign-out", "/sign-in") and column:
                continue  # they would end the session that the other rows need
            it = browsers[PEOPLE[column]]
            path = address(rule, elevation=elevated, ticket=ticket)
            data = {"csrf_token": it.token("/")} if method == "POST" else None
            answer = it.client.open(path, method=method, data=data, buffered=True)
            assert answer.status_code == answers[column], (PEOPLE[column], method, rule, answer.text)
            if PEOPLE[column] != "technician" and answers[column] in (TO_SIGN_IN, NOTHING, REFUSED):
                for fact in (
                    "canary-subject",
                    "Password Administrator",
                    "Authentication Administrator",
                    "Technician One",
                ):
                    assert fact not in answer.text, (PEOPLE[column], method, rule)


def _ticket(deployment: Deployment, elevation: str) -> str:
    from integration.records import elevations

    with deployment.records.read() as connection:
        it = elevations.elevation(connection, elevation)
    assert it is not None
    return it.ticket


def test_the_state_of_an_unclaimed_elevation_is_shown_to_nobody(
    browser: Open, desk: object, practice: Practice
) -> None:
    """Threat 20: the note with the link stands on the ticket, where others read it too."""
    from tests.conftest import Desk

    assert isinstance(desk, Desk)
    ticket = practice.new_ticket(subject="canary-subject-7f3a")
    practice.assign(ticket)
    desk.deliver(ticket)
    it = desk.only(ticket)
    assert it.oid is None
    before = rows(desk.deployment, but=SIGNED_IN)
    for who in ("technician2", "requester", "auditor", "administrator"):
        other = browser(who)
        page = other.get(f"/elevations/{it.id}")
        assert "canary-subject" not in page.text
        assert f"icket {ticket}" not in page.text
        assert other.get(f"/elevations/{it.id}/status").status_code == 404
        assert other.press(f"/elevations/{it.id}/end").status_code == 404
        answer = other.sign_in(who, back_to=f"/elevations/{it.id}")
        assert answer.status_code == 403, who
        assert "canary-subject" not in answer.text
    assert rows(desk.deployment, but=SIGNED_IN) == before


@pytest.mark.parametrize("public_url", ["http://localhost:8080", "https://elevate.example"])
def test_every_answer_carries_the_headers(
    public_url: str, deployment: Deployment, practice: Practice, tmp_path: object
) -> None:
    """Threat 49."""
    from pathlib import Path

    given = settings_for(practice, deployment.settings.database_url, Path(str(tmp_path)), public_url=public_url)
    app = create_app(Deployment(given))
    client = app.test_client()
    for method, rule in sorted(routes(app)):
        headers = client.open(address(rule), method=method, base_url=public_url, buffered=True).headers
        policy = headers["Content-Security-Policy"]
        framed = rule == "/embed/<connection>/<ticket>"
        by = origin_of(practice.facts["helpdesk_url"]) if framed else "'none'"
        assert policy.endswith(f"; frame-ancestors {by}"), rule
        assert "form-action 'self';" in policy or ("form-action 'none';" in policy and "script-src" not in policy), rule
        for part in ("default-src 'none'", "base-uri 'none'"):
            assert part in policy, rule
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers.get("X-Frame-Options") == (None if framed else "DENY"), rule
        own = "same-origin-allow-popups" if framed else "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == own, rule
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] in ("same-origin", "no-referrer")
        assert "camera=()" in headers["Permissions-Policy"]
        assert "static" in rule or headers["Cache-Control"] == "no-store", rule
        assert ("Strict-Transport-Security" in headers) == public_url.startswith("https")
        assert "Server" not in headers
        assert not (rule.startswith("/embed/") and "Set-Cookie" in headers), rule
        for cookie in headers.getlist("Set-Cookie"):
            assert "HttpOnly" in cookie
            assert "SameSite=Lax" in cookie
            assert ("Secure" in cookie) == public_url.startswith("https")
            assert "Domain" not in cookie


def test_no_button_works_without_its_token_or_from_another_site(
    app: Flask, browser: Open, elevated: str, deployment: Deployment
) -> None:
    """Threat 13."""
    technician, other = browser("technician"), browser("auditor")
    own, foreign = technician.token(), other.token()
    before = rows(deployment)
    for method, rule in sorted(routes(app)):
        if method != "POST" or rule.startswith(("/webhooks", "/panels", "/embed")):
            continue  # a signature is their token
        path = address(rule, elevation=elevated, ticket=_ticket(deployment, elevated))
        for data, headers in (
            ({}, {}),
            ({"csrf_token": "x"}, {}),
            ({"csrf_token": foreign}, {}),
            ({"csrf_token": own}, {"Sec-Fetch-Site": "cross-site"}),
            ({"csrf_token": own}, {"Sec-Fetch-Site": "same-site"}),
            ({"csrf_token": own}, {"Origin": "https://elsewhere.example"}),
            ({"csrf_token": own}, {"Origin": "null"}),
        ):
            assert technician.client.post(path, data=data, headers=headers).status_code == 400, (rule, data, headers)
    assert rows(deployment) == before
    assert technician.get("/").status_code == 200


def test_following_every_link_changes_nothing(
    app: Flask, browser: Open, elevated: str, deployment: Deployment, practice: Practice
) -> None:
    """Threat 14: mail scanners and chat previews follow links. What the tenant said is kept for a while, as a cache."""
    people = [browser(who) for who in ("technician", "auditor", None)]
    open_ticket = practice.new_ticket()  # assigned, but no webhook told us
    practice.assign(open_ticket)
    caches = frozenset({"tenant_answers", "token_caches"})
    before = (rows(deployment, but=caches), practice.activation_requests(), practice.notes(open_ticket))
    for it in people:
        for method, rule in sorted(routes(app)):
            if method == "GET":
                for ticket in (open_ticket, _ticket(deployment, elevated)):
                    it.get(address(rule, elevation=elevated, ticket=ticket), buffered=True)
                    it.client.head(address(rule, elevation=elevated, ticket=ticket), buffered=True)
    assert (rows(deployment, but=caches), practice.activation_requests(), practice.notes(open_ticket)) == before


def test_fifty_strangers_who_look_at_every_page_leave_no_row(app: Flask, practice: Practice, both: Deployment) -> None:
    """A flood of calls that nobody signed in for must not fill the database."""
    strange = create_app(both)
    before = rows(both, sessions=True)
    for _ in range(50):
        for method, rule in sorted(routes(app)):
            if method == "GET" and rule != "/readyz" and "static" not in rule:
                Browser(strange.test_client(), practice).get(address(rule))
    assert rows(both, sessions=True) == before
    assert before["web_sessions"] == before["sign_in_flows"] == []


def test_looking_at_a_ticket_links_no_account(browser: Open, deployment: Deployment, practice: Practice) -> None:
    """Threat 14: the account is linked by the button, not by the page."""
    ticket = practice.new_ticket()
    practice.assign(ticket)
    technician = browser("technician")
    page = technician.get(f"/elevate/practice/{ticket}")
    assert page.status_code == 200
    assert rows(deployment)["links"] == []
    shown = re.search(r'name="shown" value="([0-9a-f]{64})"', page.text)
    assert shown is not None
    assert technician.press(f"/elevate/practice/{ticket}", shown=shown[1]).status_code == 303
    assert len(rows(deployment)["links"]) == 1


def test_pages_answer_to_our_name_only(app: Flask, browser: Open, elevated: str) -> None:
    """Threat 16. A helpdesk or a probe may use another name: they get no link and no cookie."""
    technician = browser("technician")
    for path in ("/", f"/elevations/{elevated}", "/review", "/no-such-page"):
        answer = technician.get(path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        assert answer.status_code == 400
        assert "evil.example" not in answer.text
    assert technician.get("/healthz", headers={"Host": "10.0.0.7:8080"}).status_code == 200
    shown = technician.get(f"/elevations/{elevated}", headers={"X-Forwarded-Host": "evil.example"})
    assert shown.status_code == 200
    assert "evil.example" not in shown.text


def test_too_many_tries_are_told_to_wait(practice: Practice, deployment: Deployment, tmp_path: object) -> None:
    """Threat 54. Redis is away in these tests: the process counts by itself."""
    from pathlib import Path

    url, directory = deployment.settings.database_url, Path(str(tmp_path))
    given = settings_for(practice, url, directory, sign_ins_per_minute=5, posts_per_minute=9)
    app = create_app(Deployment(given))
    it = Browser(app.test_client(), practice)
    for _ in range(5):
        it.to_microsoft()
    answer = it.press("/sign-in")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert "Wait a minute" in answer.text
    codes = [it.press("/sign-out", page="/").status_code for _ in range(5)]
    assert codes[-1] == 429


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(sorted(name for name, _ in attrs))))
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("href", "src", "action") or not (value or "").lower().startswith("javascript:")


def elements(html: str) -> list[tuple[str, tuple[str, ...]]]:
    parser = _Elements()
    parser.feed(html)
    return parser.found


PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></textarea></script><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}{% raw %}${7*7}",
    "<!--",
    "]]><a href=//evil.example>",
    "&lt;b&gt;&#60;i&#62;",
    "＜script＞",
)


def test_hostile_text_adds_no_element_to_any_page(
    browser: Open, elevated: str, deployment: Deployment, practice: Practice
) -> None:
    """Threat 30."""
    from integration.records.tables import comments, elevations

    technician, auditor = browser("technician"), browser("auditor")

    def pages(text: str) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
        words = {"technician", "target_name", "rule", "justification", "outcome", "account"}
        analysis = json.dumps([{"what": text, "detail": text, "met": True}])
        with deployment.records.write() as tx:
            tx.execute(elevations.update().values(**dict.fromkeys(words, text), analysis=analysis))
            tx.execute(comments.update().values(text=text, outcome=text))
        ticket = practice.new_ticket(subject=text)
        practice.assign(ticket)
        shown = {
            "mine": technician.get("/"),
            "live": technician.get(f"/elevations/{elevated}"),
            "ask": technician.get(f"/elevate/practice/{ticket}"),
            "review": auditor.get("/review"),
            "detail": auditor.get(f"/review/{elevated}"),
        }
        filters = auditor.get("/review", query_string={"technician": text, "role": text, "ticket": text, "since": text})
        assert filters.status_code == 200
        for answer in shown.values():
            assert answer.status_code == 200, answer.text
        return {name: elements(page.text) for name, page in {**shown, "filters": filters}.items()}

    plain = pages("x")
    for payload in PAYLOADS:
        assert pages(payload) == plain, payload


def test_hostile_text_in_a_link_adds_no_element_to_any_page(
    browser: Open, deployment: Deployment, practice: Practice
) -> None:
    """Threat 30: names and addresses of links come from the helpdesk and the directory."""
    from datetime import UTC, datetime

    from integration.records import people
    from integration.records.people import Link
    from integration.records.tables import links

    technician, other = browser("technician"), browser("technician2")
    ticket = practice.new_ticket()
    practice.assign(ticket)
    tid, oid = practice.facts["tenant_id"], practice.people["technician2"]["oid"]
    with deployment.records.write() as tx:
        people.make_link(tx, Link("practice", "technician", tid, oid, "x", "x", datetime.now(UTC), None))

    def pages(text: str) -> list[list[tuple[str, tuple[str, ...]]]]:
        with deployment.records.write() as tx:
            tx.execute(links.update().values(technician=text, address=text))
        shown = (technician.get(f"/link/practice/{ticket}"), other.get("/account"))
        assert "This link ends" in shown[0].text
        assert "Unlink" in shown[1].text
        return [elements(page.text) for page in shown]

    plain = pages("x")
    for payload in PAYLOADS:
        assert pages(payload) == plain, payload


def test_a_ticket_that_changed_since_the_page_was_drawn_is_shown_again(browser: Open, practice: Practice) -> None:
    """Nobody gets a role that they did not see: the form carries back what was shown."""
    ticket = practice.new_ticket()
    practice.assign(ticket)
    technician = browser("technician")
    page = technician.get(f"/elevate/practice/{ticket}")
    shown = re.search(r'name="shown" value="([0-9a-f]{64})"', page.text)
    assert shown is not None
    practice.desk("PATCH", f"/api/tickets/{ticket}", {"category": "MFA reset"})

    answer = technician.press(f"/elevate/practice/{ticket}", shown=shown[1])

    assert answer.status_code == 409
    assert "Something changed since you opened this page" in answer.text
    assert practice.activation_requests() == []


def test_two_clicks_start_one_elevation(browser: Open, deployment: Deployment, practice: Practice) -> None:
    ticket = practice.new_ticket()
    practice.assign(ticket)
    technician = browser("technician")
    page = technician.get(f"/elevate/practice/{ticket}")
    shown = re.search(r'name="shown" value="([0-9a-f]{64})"', page.text)
    assert shown is not None

    for _ in range(2):
        assert technician.press(f"/elevate/practice/{ticket}", shown=shown[1]).status_code == 303

    assert len(rows(deployment)["elevations"]) == 1


def test_a_day_of_the_review_is_a_day_at_the_desk(
    elevated: str, deployment: Deployment, practice: Practice, tmp_path: object
) -> None:
    from datetime import UTC, datetime
    from pathlib import Path

    from integration.records.tables import elevations

    url, directory = deployment.settings.database_url, Path(str(tmp_path))
    app = create_app(Deployment(settings_for(practice, url, directory, time_zone="Pacific/Auckland")))
    auditor = Browser(app.test_client(), practice)
    auditor.sign_in("auditor")
    with deployment.records.write() as tx:
        # Half past midnight of 25 November there.
        tx.execute(elevations.update().values(created_at=datetime(2026, 11, 24, 11, 30, tzinfo=UTC)))
    for since, until, seen in (("2026-11-25", "2026-11-25", True), ("2026-11-24", "2026-11-24", False)):
        page = auditor.get("/review", query_string={"since": since, "until": until})
        assert (f"/review/{elevated}" in page.text) is seen, since
