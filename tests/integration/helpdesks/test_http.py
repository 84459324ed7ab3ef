"""The door to a helpdesk: each way of failing has its own error, and nothing waits for ever."""

import socket
import threading
import traceback
from datetime import UTC, datetime

import pytest
import requests
import trustme
from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from integration.helpdesks.http import LARGEST_ANSWER, AnswerUnusable, Door, seconds_to_wait
from integration.tickets import HelpdeskRefused, HelpdeskUnavailable, TicketGone
from tests.integration.helpdesks.conftest import TOKEN


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_busy_helpdesk_is_tried_again_when_it_says(door, helpdesk, status):
    helpdesk.answer("/x", status, {}, Retry_After="17")

    with pytest.raises(HelpdeskUnavailable) as error:
        door.call("GET", "/x")

    assert (error.value.try_again, error.value.after) == (True, 17)


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_ticket_is_gone_and_a_missing_page_is_refused(door, helpdesk, status):
    helpdesk.answer("/x", status, {})

    with pytest.raises(TicketGone, match="4821"):
        door.call("GET", "/x", number="4821")
    with pytest.raises(HelpdeskRefused):
        door.call("GET", "/x")


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
def test_any_other_refusal_waits_for_an_administrator(door, helpdesk, status):
    helpdesk.answer("/x", status, {})

    with pytest.raises(HelpdeskRefused) as error:
        door.call("GET", "/x", number="4821")

    assert (error.value.try_again, error.value.status) == (False, status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(door, helpdesk, status):
    """Trust row 29: not even to the same server, since the token would go wherever the answer says."""
    helpdesk.answer("/x", status, {}, Location=helpdesk.url + "/api/me")

    with pytest.raises(AnswerUnusable, match="another address"):
        door.call("GET", "/x")

    assert helpdesk.calls == [("GET", "/x")]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://127.0.0.1:1/x",
        "http://169.254.169.254/latest",
        "//127.0.0.2/x",
        "https://{host}/x",
        "http://{host}@127.0.0.2/x",
        "http://user@{host}/x",
        "http://127.0.0.2\\@{host}/x",
        "http://[::1/x",
        "file:///etc/passwd",
    ],
)
def test_a_link_away_from_the_helpdesk_is_not_called(door, helpdesk, elsewhere):
    """Trust row 29."""
    link = elsewhere.replace("{host}", helpdesk.url.removeprefix("http://"))
    with pytest.raises(AnswerUnusable, match="another server"):
        door.address(link, relative_to="/x")

    assert helpdesk.calls == []


def test_a_link_may_be_relative(door, helpdesk):
    assert door.address("?page=2", relative_to="/a/b") == helpdesk.url + "/a/b?page=2"


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 10_000, b"\xff"])
def test_an_answer_that_is_not_json_is_asked_for_again(door, helpdesk, body):
    """Trust row 46, on the way back."""
    helpdesk.answer("/x", 200, body)

    with pytest.raises(HelpdeskUnavailable):
        door.call("GET", "/x")


def test_an_empty_answer_is_nothing(door, helpdesk):
    helpdesk.answer("/x", 200, b"")

    assert door.call("POST", "/x", json={}) is None


def test_an_endless_answer_is_cut_off(door, helpdesk):
    """Trust row 45, on the way back."""

    def endless():
        while True:
            yield b" " * 65536

    helpdesk.instead["/x"] = [lambda: (200, {}, endless())]

    with pytest.raises(AnswerUnusable, match="too long"):
        door.call("GET", "/x")

    assert LARGEST_ANSWER < 10_000_000


def test_a_silent_helpdesk_is_left_after_the_time_out(helpdesk):
    def silent():
        helpdesk.released.wait(30)
        return 200, {}, [b"{}"]

    helpdesk.instead["/x"] = [silent]

    with pytest.raises(HelpdeskUnavailable):
        Door("desk", helpdesk.url, headers={}, timeout=(1, 0.2)).call("GET", "/x")

    helpdesk.released.set()


def test_a_helpdesk_that_drips_is_left_when_the_budget_is_used_up(helpdesk):
    """Trust row 45, on the way back: each byte comes in time, the whole never would."""

    def dripping():
        while not helpdesk.released.wait(0.02):
            yield b" "

    helpdesk.instead["/x"] = [lambda: (200, {}, dripping())]

    with pytest.raises(HelpdeskUnavailable):
        Door("desk", helpdesk.url, headers={}, timeout=(1, 1), budget=0.3).call("GET", "/x")

    helpdesk.released.set()


def test_a_helpdesk_that_is_not_there_is_tried_again():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]

        with pytest.raises(HelpdeskUnavailable):
            Door("desk", f"http://127.0.0.1:{port}", headers={}, timeout=(0.5, 0.5)).call("GET", "/x")


def test_a_password_in_netrc_does_not_replace_our_token(door, helpdesk, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))

    assert door.call("GET", "/api/me") == {"id": "77"}


@pytest.mark.parametrize("status", [302, 401, 404, 503])
def test_no_error_carries_the_token(door, helpdesk, status):
    """Trust row 24."""
    helpdesk.answer("/x", status, {"echo": TOKEN})

    with pytest.raises((HelpdeskRefused, HelpdeskUnavailable)) as error:
        door.call("GET", "/x")

    assert TOKEN not in "".join(traceback.format_exception(error.value))
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("17", 17),
        ("0", 0),
        ("Tue, 24 Nov 2026 10:00:30 GMT", 30),
        ("Tue, 24 Nov 2026 09:00:00 GMT", 0),
        ("Tue, 24 Nov 2099 09:00:00 GMT", 3600),
        ("9" * 500, 3600),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("", None),
        ("Tue, 99 Nov 2026 10:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour(asked, seconds):
    assert seconds_to_wait({"Retry-After": asked, "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}) == seconds


def test_a_date_to_retry_after_is_measured_by_our_clock_where_the_answer_has_none():
    assert seconds_to_wait({"Retry-After": format_date(datetime.now(UTC).replace(year=2099))}) == 3600


def format_date(moment):
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


@pytest.fixture
def door(helpdesk):
    return Door("desk", helpdesk.url, headers={"Authorization": f"Bearer {TOKEN}"})


def test_our_own_authority_is_used_whatever_the_environment_says(tls_helpdesk, tmp_path, monkeypatch):
    url, ca = tls_helpdesk
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())

    assert Door("desk", url, headers={}, ca_bundle=ca).call("GET", "/x") == {}
    with pytest.raises(HelpdeskUnavailable):
        Door("desk", url, headers={}).call("GET", "/x")


@pytest.fixture
def tls_helpdesk(tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"{}"]

    server = wsgi.Server(("127.0.0.1", 0), app, numthreads=1)
    server.ssl_adapter = BuiltinSSLAdapter(tmp_path / "server.pem", tmp_path / "server.pem")
    server.expiration_interval = 0.02
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield f"https://127.0.0.1:{server.bind_addr[1]}", tmp_path / "ca.pem"
    server.stop()
    thread.join(10)
