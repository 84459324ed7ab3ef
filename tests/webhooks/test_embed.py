"""The page within a helpdesk's frame: who may frame it, and to whom it tells what."""

import json
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from freezegun import freeze_time
from werkzeug.test import TestResponse

from integration.deployment import Deployment
from integration.logs import JsonLines
from integration.records import elevations, people
from integration.records.people import Link
from tests.conftest import Desk, Practice, settings_for
from tests.integration.helpdesks.test_zendesk import settings as zendesk_settings
from tests.webhooks.conftest import Browser, rows
from webhooks.app import create_app

Open = Callable[..., Browser]
ZENDESK = "https://example.zendesk.com"
INSTALLATION = "42"
FROM_MICROSOFT = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def handed(page: TestResponse) -> str:
    found = re.search(r'handover\.js[^>]* data-connection="practice" data-token="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def look(client: FlaskClient, token: str, ticket: str, connection: str = "practice", **more: str) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}", **more}
    return client.get(f"/embed/{connection}/{ticket}/status", headers=headers)


@pytest.fixture
def ticket(elevated: str, deployment: Deployment) -> str:
    with deployment.records.read() as reading:
        it = elevations.elevation(reading, elevated)
    assert it is not None
    return it.ticket


@pytest.fixture
def stranger(browser: Open) -> FlaskClient:
    """A frame's browser: it has no cookie."""
    return browser().client


def test_the_frame_has_a_link_and_no_form_cookie_or_fact(
    browser: Open, stranger: FlaskClient, elevated: str, ticket: str
) -> None:
    technician = browser("technician")
    for client in (stranger, technician.client):
        page = client.get(f"/embed/practice/{ticket}")
        assert page.status_code == 200
        assert f'href="/elevate/practice/{ticket}"' in page.text
        assert 'rel="noopener"' in page.text
        for word in ("<form", "<button", "<input", "Password Administrator", "canary-subject", "Technician One"):
            assert word not in page.text
        assert "Set-Cookie" not in page.headers
        assert "Cookie" not in page.headers.get("Vary", "")


def test_a_cookie_alone_shows_no_status(browser: Open, elevated: str, ticket: str) -> None:
    """A helpdesk may be of our own site, and then browsers send the cookie."""
    technician = browser("technician")
    assert technician.get(f"/embed/practice/{ticket}/status").status_code == 401


def test_the_page_hands_over_what_shows_its_own_persons_status(
    browser: Open, stranger: FlaskClient, elevated: str, ticket: str, deployment: Deployment
) -> None:
    token = handed(browser("technician").get(f"/elevations/{elevated}"))
    before = rows(deployment, sessions=True)
    shown = look(stranger, token, ticket)
    assert shown.status_code == 200
    assert "Active" in shown.text
    assert "Password Administrator" in shown.text
    assert f'href="/elevations/{elevated}"' in shown.text
    assert "<form" not in shown.text
    assert shown.headers["Cache-Control"] == "no-store"
    with freeze_time(datetime.now(UTC) + timedelta(minutes=3)):  # nothing new, and nothing to be read out again
        assert look(stranger, token, ticket, **{"If-None-Match": shown.headers["ETag"]}).status_code == 304
    assert rows(deployment, sessions=True) == before  # and it does not keep the session alive


def test_another_ones_token_shows_nothing_of_theirs(
    browser: Open, stranger: FlaskClient, elevated: str, ticket: str
) -> None:
    page = browser("technician2").get(f"/elevate/practice/{ticket}")
    assert "data-token" not in page.text  # not their ticket: there is nothing to hand over
    other = browser("technician")
    token = handed(other.get(f"/elevations/{elevated}"))
    assert "No role of yours" in look(stranger, token, "1").text
    assert look(stranger, token, ticket, connection="elsewhere").status_code == 401


@pytest.mark.parametrize("token", ["", "x", "e30.aSkdZg.c2ln", "\u00fc", "." * 30_000])
def test_no_other_token_holds(stranger: FlaskClient, elevated: str, ticket: str, token: str) -> None:
    assert look(stranger, token, ticket).status_code == 401


def test_sign_out_ends_it(browser: Open, stranger: FlaskClient, elevated: str, ticket: str) -> None:
    technician = browser("technician")
    token = handed(technician.get(f"/elevations/{elevated}"))
    assert look(stranger, token, ticket).status_code == 200
    technician.press("/sign-out")
    assert look(stranger, token, ticket).status_code == 401


@pytest.mark.parametrize("after", [timedelta(minutes=31), timedelta(hours=9)])
def test_it_ends_with_the_session(
    browser: Open, stranger: FlaskClient, elevated: str, ticket: str, after: timedelta
) -> None:
    token = handed(browser("technician").get(f"/elevations/{elevated}"))
    with freeze_time(datetime.now(UTC) + after):
        assert look(stranger, token, ticket).status_code == 401


def test_it_is_no_sign_in(browser: Open, stranger: FlaskClient, elevated: str) -> None:
    token = handed(browser("technician").get(f"/elevations/{elevated}"))
    for path in ("/", f"/elevations/{elevated}", f"/elevations/{elevated}/status", "/account"):
        assert stranger.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 401
        stranger.set_cookie("te", token)
        assert stranger.get(path).status_code == 401


@pytest.mark.parametrize(
    ("sites", "policy"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, "unsafe-none"),  # our frame opened it, or a page of ours led here
        ({"Sec-Fetch-Site": "same-site"}, "same-origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "same-origin"),
        ({"Sec-Fetch-Site": "none"}, "same-origin"),
        ({}, "same-origin"),
    ],
)
def test_only_a_window_that_we_opened_knows_us(
    browser: Open, elevated: str, ticket: str, sites: dict[str, str], policy: str
) -> None:
    technician = browser("technician")
    technician.get(f"/elevations/{elevated}")  # the page that the sign-in led to
    for path in (f"/elevations/{elevated}", f"/elevate/practice/{ticket}"):
        assert technician.get(path, headers=sites).headers["Cross-Origin-Opener-Policy"] == policy
    for path in ("/", "/account", "/approvals"):
        assert technician.get(path, headers=sites).headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_the_way_back_from_microsoft_keeps_the_window_once(browser: Open, elevated: str) -> None:
    technician, page = browser(), f"/elevations/{elevated}"
    assert technician.sign_in("technician", back_to=page).headers["Cross-Origin-Opener-Policy"] == "unsafe-none"
    from_there = {"Sec-Fetch-Site": "cross-site"}
    seen = [technician.get(page, headers=from_there).headers["Cross-Origin-Opener-Policy"] for _ in range(2)]
    assert seen == ["unsafe-none", "same-origin"]
    failed = browser().get("/sign-in/callback?state=forged", headers=from_there)
    assert failed.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def policy_of(answer: TestResponse) -> str:
    return answer.headers["Cross-Origin-Opener-Policy"]


def goes_on(technician: Browser, answer: TestResponse) -> list[TestResponse]:
    """The answers on the way from the callback to the page that is shown, as a browser asks that Microsoft sent."""
    way = [answer]
    while way[-1].status_code == 303:
        way.append(technician.get(way[-1].headers["Location"], headers=FROM_MICROSOFT))
    return way


def test_a_redirect_of_ours_on_the_way_keeps_the_window(browser: Open, elevated: str, ticket: str) -> None:
    """Their pick has started already: the page of the ticket leads on to that of the elevation."""
    technician = browser()
    way = goes_on(technician, technician.sign_in("technician", back_to=f"/elevate/practice/{ticket}"))
    assert [policy_of(it) for it in way] == ["unsafe-none"] * 3
    assert handed(way[-1])
    assert policy_of(technician.get(f"/elevations/{elevated}", headers=FROM_MICROSOFT)) == "same-origin"


def test_the_first_pick_of_all_keeps_the_window_to_the_page_that_links(
    browser: Open, desk: Desk, practice: Practice
) -> None:
    number = practice.new_ticket()
    practice.assign(number)
    desk.deliver(number)
    desk.sweep()
    technician = browser()
    way = goes_on(technician, technician.sign_in("technician", back_to=f"/elevate/practice/{number}"))
    assert way[-1].request.path.startswith("/link/")
    assert {policy_of(it) for it in way} == {"unsafe-none"}


@pytest.mark.parametrize(
    ("path", "sort"),
    [
        ("/elevations/{it}/status", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}),
        ("/elevations/{it}/status", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty"}),
        ("/static/icon.svg", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}),
        ("/static/icon.svg", {}),
        ("/", {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}),
    ],
)
def test_what_another_tab_asks_for_does_not_cut_the_window_off(
    browser: Open, elevated: str, path: str, sort: dict[str, str]
) -> None:
    technician, page = browser(), f"/elevations/{elevated}"
    technician.sign_in("technician", back_to=page)
    technician.get(path.format(it=elevated), headers=sort).close()
    assert policy_of(technician.get(page, headers=FROM_MICROSOFT)) == "unsafe-none"


def test_a_sign_in_of_some_time_ago_keeps_no_window(browser: Open, elevated: str) -> None:
    technician, page = browser(), f"/elevations/{elevated}"
    technician.sign_in("technician", back_to=page)
    with freeze_time(datetime.now(UTC) + timedelta(seconds=70)):
        assert policy_of(technician.get(page, headers=FROM_MICROSOFT)) == "same-origin"


@pytest.mark.parametrize("apart", [timedelta(seconds=-5), timedelta(seconds=5)])
def test_web_machines_whose_clocks_are_seconds_apart_know_each_others_word(
    browser: Open, stranger: FlaskClient, elevated: str, ticket: str, apart: timedelta
) -> None:
    technician, page, now = browser("technician"), f"/elevations/{elevated}", datetime.now(UTC)
    token = handed(technician.get(page))
    with freeze_time(now + apart):
        assert look(stranger, token, ticket).status_code == 200
    technician.sign_in("technician", back_to=page)
    with freeze_time(datetime.now(UTC) + apart):
        assert policy_of(technician.get(page, headers=FROM_MICROSOFT)) == "unsafe-none"


def with_zendesk(practice: Practice, deployment: Deployment, tmp_path: Path, **more: Any) -> Deployment:
    table = zendesk_settings(app_public_key=PEM, app_installation=INSTALLATION, **more)
    desks = {"practice": practice.facts["helpdesk"], "zendesk": table}
    return Deployment(settings_for(practice, deployment.settings.database_url, tmp_path, helpdesks=desks))


def agent(account: str, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "iss": "example.zendesk.com",
        "aud": f"{ZENDESK}/api/v2/apps/installations/{INSTALLATION}.json",
        "sub": f"{ZENDESK}/api/v2/users/{account}.json",
        "iat": now,
        "nbf": now,
        "exp": now + timedelta(minutes=5),
        "jti": secrets.token_hex(8),
        **changes,
    }


def by_zendesk(client: FlaskClient, claims: dict[str, Any], key: Any = KEY, algorithm: str = "RS256") -> TestResponse:
    token = jwt.encode(claims, key, algorithm=algorithm)
    address = f"/embed/zendesk?origin={ZENDESK}&app_guid=4b1d"
    headers = {"Origin": ZENDESK, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
    return client.post(address, data={"token": token}, headers=headers)


def of_zendesk(deployment: Deployment) -> None:
    """As if every elevation were for a ticket of Zendesk's, of account 7 there."""
    with deployment.records.write() as tx:
        changed = {"connection": "zendesk", "account": "7"}
        tx.exec_driver_sql("UPDATE elevations SET connection = :connection, account = :account", changed)


def signed_token(page: TestResponse) -> str:
    found = re.search(r'data-token="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def test_what_zendesk_signed_counts_for_an_hour(
    practice: Practice, deployment: Deployment, tmp_path: Path, elevated: str, ticket: str
) -> None:
    of_zendesk(deployment)
    client = create_app(with_zendesk(practice, deployment, tmp_path)).test_client()
    token, now = signed_token(by_zendesk(client, agent("7"))), datetime.now(UTC)
    for after, status in ((-20, 200), (59 * 60, 200), (61 * 60, 401)):
        with freeze_time(now + timedelta(seconds=after)):
            assert look(client, token, ticket, connection="zendesk").status_code == status


def test_what_zendesk_signed_shows_nothing_once_the_accounts_link_is_suspended(
    practice: Practice, deployment: Deployment, tmp_path: Path, elevated: str, ticket: str
) -> None:
    of_zendesk(deployment)
    client = create_app(with_zendesk(practice, deployment, tmp_path)).test_client()
    token, person = signed_token(by_zendesk(client, agent("7"))), practice.people["technician"]
    now = datetime.now(UTC)
    made = Link("zendesk", "7", practice.facts["tenant_id"], person["oid"], person["name"], person["mail"], now, None)
    with deployment.records.write() as tx:
        people.make_link(tx, made)
    assert look(client, token, ticket, connection="zendesk").status_code == 200
    with deployment.records.write() as tx:
        people.suspend_link(tx, made, now=now)
    assert look(client, token, ticket, connection="zendesk").status_code == 401


@pytest.mark.parametrize(
    "times",
    [
        {"exp": "2099-01-01T00:00:00+00:00"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": 10**30},
        {"exp": None},
        {"nbf": "2020-01-01T00:00:00+00:00"},
    ],
)
def test_zendesks_times_are_numbers(
    practice: Practice, deployment: Deployment, tmp_path: Path, times: dict[str, Any]
) -> None:
    client = create_app(with_zendesk(practice, deployment, tmp_path)).test_client()
    assert 'data-token=""' in by_zendesk(client, {**agent("7"), **times}).text
    assert signed_token(by_zendesk(client, agent("7")))


def test_a_frame_that_zendesk_signs_shows_that_agents_status_at_once(
    practice: Practice, deployment: Deployment, tmp_path: Path, desk: Desk, elevated: str, ticket: str
) -> None:
    of_zendesk(deployment)
    client = create_app(with_zendesk(practice, deployment, tmp_path)).test_client()
    page = by_zendesk(client, agent("7"))
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"].endswith(f"frame-ancestors {ZENDESK}")
    assert "X-Frame-Options" not in page.headers
    assert "zendesk.js" in page.text
    assert "<form" not in page.text
    found = re.search(r'data-token="([^"]+)"', page.text)
    assert found
    shown = look(client, found[1], ticket, connection="zendesk")
    assert "Password Administrator" in shown.text
    assert look(client, found[1], ticket).status_code == 401
    other = re.search(r'data-token="([^"]+)"', by_zendesk(client, agent("8")).text)
    assert other
    assert "No role of yours" in look(client, other[1], ticket, connection="zendesk").text


def test_who_zendesk_does_not_prove_sees_what_everybody_sees(
    practice: Practice, deployment: Deployment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = create_app(with_zendesk(practice, deployment, tmp_path)).test_client()
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for page in (
        by_zendesk(client, agent("7"), stranger),
        by_zendesk(client, agent("7", aud=f"{ZENDESK}/api/v2/apps/installations/43.json")),
        by_zendesk(client, agent("7", exp=datetime.now(UTC) - timedelta(hours=1))),
        by_zendesk(client, agent("7/../8")),
        by_zendesk(client, agent("7"), secrets.token_hex(32), "HS256"),
        client.post("/embed/zendesk"),
        client.post("/embed/zendesk", data={"token": "." * 20_000}),
    ):
        assert page.status_code == 200
        assert 'data-token=""' in page.text
        assert "Set-Cookie" not in page.headers
    told = [json.loads(JsonLines().format(it)) for it in caplog.records if it.msg == "frame_not_proven"]
    reasons = [it["reason"] for it in told]
    assert reasons == ["signature", "app", "time", "account", "signature", "signature", "signature"]


def test_a_connection_may_name_who_frames_it(practice: Practice, deployment: Deployment, tmp_path: Path) -> None:
    origins = ["https://support.example.com", "https://42.apps.example.net/"]
    client = create_app(with_zendesk(practice, deployment, tmp_path, embedded_in=origins)).test_client()
    policy = client.get("/embed/zendesk/4821").headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors https://support.example.com https://42.apps.example.net")
    for path in ("/embed/zendesk/0815", "/embed/elsewhere/1"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")


@pytest.mark.parametrize("origin", ["*", "https://*.example.com", "http://example.com", "https://a.example/x", "a; b"])
def test_an_origin_that_is_none_stops_the_start(
    practice: Practice, deployment: Deployment, tmp_path: Path, origin: str
) -> None:
    with pytest.raises(ValueError, match=r"helpdesks\.zendesk.*embedded_in.*is not an origin"):
        _ = with_zendesk(practice, deployment, tmp_path, embedded_in=[origin]).helpdesks


def test_the_frames_of_a_whole_desk_are_no_tries(practice: Practice, deployment: Deployment, tmp_path: Path) -> None:
    made = with_zendesk(practice, deployment, tmp_path)
    made.settings.posts_per_minute = 3
    client = create_app(made).test_client()
    assert {by_zendesk(client, agent("7")).status_code for _ in range(8)} == {200}
