"""Sign-in and sessions with the real practice tenant: what a cookie, a link and a code are worth, and for how long."""

import json
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask

from integration import logs
from integration.deployment import Deployment
from integration.records.tables import journal, journal_private, sign_in_flows, web_sessions
from tests.conftest import Practice, settings_for
from tests.webhooks.conftest import Browser, onward, rows
from webhooks.app import MACHINES, create_app
from webhooks.review import _cell, _line

Open = Callable[..., Browser]
HOSTILE_ADDRESSES = (
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\tevil.example",
    "https:evil.example",
    "https://evil.example/",
    "javascript:alert(1)",
    "/elevations/\0",
    "/elevations/01M86JXAYCC19MB5T8HMDN68SC\n",
    "/elevations/../sign-out",
    "/%2f%2fevil.example",
    "/@evil.example",
    "",
)


def test_a_sign_in_never_leads_away_from_our_pages(browser: Open) -> None:
    """Threat 15."""
    for hostile in HOSTILE_ADDRESSES:
        it = browser()
        answer = it.press("/sign-in", back_to=hostile)
        if answer.status_code == 400:  # no address holds a NUL
            continue
        back = it.get(it.at_microsoft(onward(answer), "technician"))
        assert back.headers["Location"] == "/", hostile


def test_a_callback_in_a_second_browser_makes_no_session(browser: Open, deployment: Deployment) -> None:
    """Threat 17: who completes somebody else's flow would work in that person's session."""
    attacker, victim = browser(), browser()
    callback = attacker.at_microsoft(attacker.to_microsoft(), "technician")
    assert victim.get(callback).status_code == 400
    assert victim.get("/").status_code == 401
    assert rows(deployment)["token_caches"] == []


def test_a_sign_in_is_not_started_for_a_visitor_by_another_site(browser: Open, deployment: Deployment) -> None:
    """Threats 13 and 17, without a stored session: a form of another browser fits as little as none."""
    other = browser().token("/")
    victim = browser()
    own = victim.token("/")
    for data, headers in (
        ({}, {}),
        ({"csrf_token": other}, {}),
        ({"csrf_token": own}, {"Sec-Fetch-Site": "cross-site"}),
        ({"csrf_token": own}, {"Origin": "https://elsewhere.example"}),
    ):
        assert victim.client.post("/sign-in", data=data, headers=headers).status_code == 400, (data, headers)
    victim.client.set_cookie("te", f"{victim.cookie}x")
    assert victim.client.post("/sign-in", data={"csrf_token": own}).status_code == 400
    with deployment.records.read() as connection:
        assert list(connection.execute(sa.select(sign_in_flows))) == []


def test_a_callback_works_once(browser: Open) -> None:
    """Threat 18."""
    it = browser()
    callback = it.at_microsoft(it.to_microsoft(), "technician")
    assert it.get(callback).status_code == 303
    assert it.get(callback).status_code == 400


def test_a_code_of_another_flow_is_refused(browser: Open, deployment: Deployment) -> None:
    """Threat 18."""
    one, two = browser(), browser()
    first = dict(parse_qsl(urlsplit(one.at_microsoft(one.to_microsoft(), "technician")).query))
    second = dict(parse_qsl(urlsplit(two.at_microsoft(two.to_microsoft(), "auditor")).query))
    answer = one.get("/sign-in/callback?" + urlencode({**first, "code": second["code"]}))
    assert answer.status_code == 400
    assert one.get("/").status_code == 401
    assert rows(deployment)["token_caches"] == []


def test_a_sign_in_that_is_ten_minutes_old_is_refused(browser: Open, deployment: Deployment) -> None:
    """Threat 18."""
    it = browser()
    callback = it.at_microsoft(it.to_microsoft(), "technician")
    with deployment.records.write() as tx:
        soon = tx.execute(sa.select(sign_in_flows.c.expires_at)).scalar_one()
        tx.execute(sign_in_flows.update().values(expires_at=soon - timedelta(minutes=10)))
    assert it.get(callback).status_code == 400


def test_a_flow_that_does_not_open_is_as_good_as_none(browser: Open, deployment: Deployment) -> None:
    """Threat 23: damaged, copied from another row, or sealed with a key that is gone."""
    it = browser()
    callback = it.at_microsoft(it.to_microsoft(), "technician")
    with deployment.records.write() as tx:
        tx.execute(sign_in_flows.update().values(sealed=b"\x01" + b"0" * 60))
    answer = it.get(callback)
    assert answer.status_code == 400
    assert "sign in from there" in answer.text


def test_sign_in_gives_a_new_cookie_and_the_planted_one_is_dead(browser: Open, app: Flask, practice: Practice) -> None:
    """Threat 12."""
    it = browser()
    it.token("/")
    planted = it.cookie
    it.sign_in("technician")
    assert planted is not None
    assert it.cookie not in (None, planted)
    thief = Browser(app.test_client(), practice)
    thief.client.set_cookie("te", planted)
    assert thief.get("/").status_code == 401


def test_a_cookie_is_worth_nothing_after_sign_out(browser: Open, app: Flask, practice: Practice) -> None:
    """Threat 12."""
    it = browser("technician")
    stolen = it.cookie
    assert stolen is not None
    left = it.press("/sign-out")
    assert left.status_code == 200
    assert '/oauth2/v2.0/logout">On a shared desk, sign out there too' in left.text
    thief = Browser(app.test_client(), practice)
    thief.client.set_cookie("te", stolen)
    assert thief.get("/").status_code == 401


def test_who_signs_in_and_out_is_in_the_journal(browser: Open, deployment: Deployment, practice: Practice) -> None:
    browser("technician").press("/sign-out")
    query = sa.select(journal.c.kind, journal_private.c.value).join_from(
        journal, journal_private, journal.c.place == journal_private.c.place
    )
    with deployment.records.read() as connection:
        found = [tuple(row) for row in connection.execute(query.order_by(journal.c.place))]
    oid = practice.people["technician"]["oid"]
    assert found == [("session.signed_in", oid), ("session.signed_out", oid)]


@pytest.mark.parametrize(("column", "alive", "dead"), [("seen_at", 29, 31), ("started_at", 8 * 60 - 1, 8 * 60 + 1)])
def test_a_session_ends_when_idle_or_old(
    column: str, alive: int, dead: int, browser: Open, deployment: Deployment
) -> None:
    """Threat 12: after 30 minutes without a click, and after 8 hours in any case."""
    for minutes, status in ((alive, 200), (dead, 401)):
        it = browser("technician")
        field = web_sessions.c[column]
        with deployment.records.write() as tx:
            at = tx.execute(sa.select(field).where(web_sessions.c.oid.is_not(None))).scalars().first()
            assert at is not None
            tx.execute(web_sessions.update().values({column: at - timedelta(minutes=minutes)}))
        assert it.get("/").status_code == status, minutes


def idle(deployment: Deployment, minutes: int) -> None:
    """The session was last seen so much longer ago."""
    with deployment.records.write() as tx:
        at = tx.execute(sa.select(web_sessions.c.seen_at)).scalar_one()
        tx.execute(web_sessions.update().values(seen_at=at - timedelta(minutes=minutes)))


@pytest.mark.parametrize("script", [True, False])
def test_a_live_page_that_is_left_open_does_not_keep_its_session_alive(
    script: bool, browser: Open, deployment: Deployment, elevated: str
) -> None:
    """Threat 12: nobody needs to sit before it."""
    it, page = browser("technician"), f"/elevations/{elevated}"
    reload = re.search(r'<noscript><meta http-equiv="refresh" content="30;url=([^"]+)"></noscript>', it.get(page).text)
    assert reload is not None
    asked_again = f"{page}/status" if script else reload[1]
    for status in (200, 401):
        idle(deployment, 16)
        assert it.get(asked_again).status_code == status


def test_who_opens_a_page_keeps_their_session_alive(browser: Open, deployment: Deployment, elevated: str) -> None:
    it = browser("technician")
    for _ in range(3):
        idle(deployment, 16)
        assert it.get(f"/elevations/{elevated}").status_code == 200


def test_an_administrator_who_deletes_the_row_ends_the_session(browser: Open, deployment: Deployment) -> None:
    """Threat 12."""
    it = browser("technician")
    with deployment.records.write() as tx:
        tx.execute(web_sessions.delete())
    assert it.get("/").status_code == 401


def test_a_page_that_was_loading_while_its_session_was_ended_does_not_bring_it_back(
    browser: Open, deployment: Deployment, app: Flask
) -> None:
    """Threat 12: signed out in another tab, or by an administrator, in the middle of a call."""
    it = browser("technician")
    loading = app.view_functions["mine.show"]

    def ended_meanwhile() -> str:
        with deployment.records.write() as tx:
            tx.execute(web_sessions.delete())
        page: str = loading()
        return page

    app.view_functions["mine.show"] = ended_meanwhile
    assert it.get("/").status_code == 200
    app.view_functions["mine.show"] = loading
    assert it.get("/").status_code == 401


def test_rows_of_dead_sessions_and_flows_are_purged_by_the_next_sign_in(browser: Open, deployment: Deployment) -> None:
    it = browser("technician")
    it.to_microsoft()
    with deployment.records.write() as tx:
        tx.execute(web_sessions.update().values(seen_at=web_sessions.c.started_at))
        for table, column in ((web_sessions, web_sessions.c.seen_at), (sign_in_flows, sign_in_flows.c.expires_at)):
            at = tx.execute(sa.select(column)).scalars().first()
            assert at is not None
            tx.execute(table.update().values({column.name: at - timedelta(hours=1)}))
    browser().to_microsoft()
    with deployment.records.read() as connection:
        assert list(connection.execute(sa.select(web_sessions))) == []
        assert len(list(connection.execute(sa.select(sign_in_flows)))) == 1


def test_an_address_with_a_nul_or_numbers_without_end_is_an_error_page_and_no_fault(browser: Open) -> None:
    """Threat 33."""
    auditor = browser("auditor")
    for query in ({"technician": "\0"}, {"ticket": "\0"}):
        assert auditor.get("/review", query_string=query).status_code == 400
    assert auditor.get("/elevations/%00").status_code in (400, 404)
    assert auditor.get("/review/%00").status_code in (400, 404)
    for query in ({"page": "9" * 30}, {"page": "9" * 5000}, {"until": "9999-12-31"}, {"since": "0001-01-01"}):
        assert auditor.get("/review", query_string=query).status_code == 200, query


FORMULAS = ("=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠x", "\u3000=1")


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_of_the_export_is_a_formula(formula: str) -> None:
    """Threat 34, with the way back: without the first sign it is what it was."""
    import csv
    import io

    (row,) = csv.reader(io.StringIO(_line([_cell(formula), _cell("plain")]), newline=""))
    assert row == [f"'{formula}", "plain"]


def test_the_export_has_a_fixed_name_whatever_it_holds(browser: Open, elevated: str) -> None:
    """Threat 36."""
    answer = browser("auditor").get("/review/export.csv", query_string={"ticket": 'x"\r\nSet-Cookie: a=b'})
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == "attachment; filename=elevations.csv"


def test_a_log_line_is_one_line_and_says_only_what_is_allowed() -> None:
    """Threat 35, and no text of an error: it may hold anything (threat 24)."""
    out = StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logs.JsonLines())
    log = logging.getLogger("webhooks.test")
    log.addHandler(handler)
    try:
        try:
            raise ValueError("canary-secret")
        except ValueError:
            extra = {"due": 'x\n{"level":"forged"}\x1b[31m\u2028', "token": "canary-secret"}
            log.exception("request_failed", extra=extra)
    finally:
        log.removeHandler(handler)
    (line,) = out.getvalue().splitlines()
    assert line.isascii()
    assert "canary" not in line
    said = json.loads(line)
    assert said["event"] == "request_failed"
    assert said["error"][0].startswith("ValueError at ")


def test_metrics_are_closed_without_the_token_and_count_without_names(
    elevated: str, practice: Practice, deployment: Deployment, tmp_path: Path
) -> None:
    """Threat 51."""
    given = settings_for(practice, deployment.settings.database_url, tmp_path, metrics_token="scrape-me")
    client = create_app(Deployment(given)).test_client()
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
    answer = client.get("/metrics", headers={"Authorization": "Bearer scrape-me"})
    assert answer.status_code == 200
    assert 'ticket_elevate_elevations{state="active"} 1.0' in answer.text
    assert 'ticket_elevate_sign_ins{health="works"} 1.0' in answer.text
    assert 'ticket_elevate_sign_ins{health="lost"} 0.0' in answer.text
    for name in (elevated, "canary", "Technician", practice.people["technician"]["oid"]):
        assert name not in answer.text
    closed = create_app(deployment).test_client()
    assert closed.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    assert client.get("/healthz").text == "ok\n"


def test_a_fault_shows_an_id_and_nothing_of_itself(browser: Open, deployment: Deployment, app: Flask) -> None:
    """Threat 53."""
    it = browser("technician")

    def breaks(*_: object, **__: object) -> str:
        raise RuntimeError("canary-fault")

    for each in (app, *app.extensions[MACHINES]):
        for name in [name for name in each.view_functions if not name.endswith("static")]:
            each.view_functions[name] = breaks
    for path in ("/", "/elevations/X", "/review", "/elevate/practice/1", "/sign-in/callback", "/healthz"):
        answer = it.get(path)
        assert answer.status_code == 500, path
        assert "canary" not in answer.text
        assert "Traceback" not in answer.text
        assert "RuntimeError" not in answer.text
    document = it.client.post("/webhooks/practice", data=b"{}")
    assert document.status_code == 500
    assert len(document.get_json()["correlation_id"]) == 26
