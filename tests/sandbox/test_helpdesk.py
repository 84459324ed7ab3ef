"""The practice helpdesk: tickets change in the name of whoever's token it is, and each change is sent, signed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.sandbox.driver import Driver


class Receiver:
    """Takes deliveries; answers 503 as often as it is told to first."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.refuse = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802  (the standard library's name)
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                outer.refuse -= 1
                self.send_response(503 if outer.refuse >= 0 else 202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/practice"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        deadline = time.monotonic() + 10
        while len(self.got) < count:
            assert time.monotonic() < deadline, f"{len(self.got)} of {count} deliveries came"
            time.sleep(0.01)
        return self.got


@pytest.fixture
def receiver(practice: Driver) -> Iterator[Receiver]:
    found = Receiver()
    practice.control("webhooks", {"url": found.url, "secret": practice.facts["webhook_secret"]})
    yield found
    practice.control("webhooks", {"url": ""})
    found.server.shutdown()
    found.server.server_close()


def test_a_ticket_says_who_assigned_it_and_its_history_too(practice: Driver) -> None:
    practice.desk("technician", "POST", "tickets/4821/assign", json={"assignee": "technician"})
    ticket = practice.desk("bot", "GET", "tickets/4821").json()
    assert ticket["assignee"]["email"] == practice.people["technician"]["mail"]
    [change] = practice.desk("bot", "GET", "tickets/4821/history").json()["history"]
    assert ticket["assigned_by"] == change["actor"]["id"] == "technician"
    assert (ticket["assignment_id"], ticket["assigned_at"]) == (change["id"], change["at"])


def test_a_change_is_sent_signed_and_names_only_ticket_and_actor(practice: Driver, receiver: Receiver) -> None:
    practice.desk("technician2", "POST", "tickets/4822/assign", json={"assignee": "technician"})
    [(headers, body)] = receiver.wait(1)
    event = Webhook(practice.facts["webhook_secret"]).verify(body, headers)
    assert event["type"] == "ticket.assigned"
    assert event["data"] == {"ticket": {"id": "4822"}, "actor": {"id": "technician2"}}


def test_a_delivery_that_is_not_taken_comes_again_under_its_id(practice: Driver, receiver: Receiver) -> None:
    receiver.refuse = 1
    practice.desk("technician", "POST", "tickets/4821/status", json={"status": "solved"})
    first, second = receiver.wait(2)
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert json.loads(first[1])["type"] == "ticket.status_changed"


def test_held_events_can_be_let_go_backwards_and_one_can_come_twice(practice: Driver, receiver: Receiver) -> None:
    practice.control("webhooks", {"hold": True})
    practice.desk("technician", "POST", "tickets/4821/assign", json={"assignee": "technician"})
    practice.desk("technician", "POST", "tickets/4821/status", json={"status": "solved"})
    practice.control("webhooks", {"hold": False, "backwards": True})
    first, second = receiver.wait(2)
    assert [json.loads(body)["type"] for _, body in (first, second)] == ["ticket.status_changed", "ticket.assigned"]
    deadline = time.monotonic() + 5
    while len(practice.read("log")["webhooks"]) < 2:
        assert time.monotonic() < deadline
    practice.control("webhooks/repeat", {"id": first[0]["webhook-id"]})
    assert receiver.wait(3)[2][0]["webhook-id"] == first[0]["webhook-id"]


def test_both_secrets_sign_during_a_rotation(practice: Driver, receiver: Receiver) -> None:
    other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
    practice.control("webhooks", {"secret": [other, practice.facts["webhook_secret"]]})
    practice.desk("technician", "POST", "tickets/4821/assign", json={"assignee": "technician"})
    [(headers, body)] = receiver.wait(1)
    for secret in (other, practice.facts["webhook_secret"]):
        Webhook(secret).verify(body, headers)


def test_notes_come_newest_first_and_in_pages(practice: Driver) -> None:
    for number in range(3):
        body = {"body": f"note {number}", "internal": True}
        assert practice.desk("bot", "POST", "tickets/4821/notes", json=body).status_code == 201
    page = practice.desk("technician", "GET", "tickets/4821/notes?per_page=2").json()
    assert [note["body"] for note in page["notes"]] == ["note 2", "note 1"]
    assert page["next"].endswith("page=2&per_page=2")


def test_internal_notes_and_other_peoples_tickets_are_kept_from_requesters(practice: Driver) -> None:
    practice.desk("bot", "POST", "tickets/4821/notes", json={"body": "internal"})
    assert practice.desk("requester", "GET", "tickets/4821/notes").json()["notes"] == []
    assert practice.desk("requester", "POST", "tickets/4821/assign", json={"assignee": None}).status_code == 403
    own = practice.desk("technician", "POST", "tickets", json={"subject": "Mine", "category": "Printer"}).json()
    assert practice.desk("requester", "GET", f"tickets/{own['id']}").status_code == 404


def test_a_wrong_call_is_refused(practice: Driver) -> None:
    assert practice.desk("bot", "GET", "tickets/1").status_code == 404
    assert practice.desk("bot", "POST", "tickets/4821/assign", json={"assignee": "nobody"}).status_code == 422
    url = f"{practice.facts['helpdesk_url']}/api/tickets"
    assert practice.http.get(url, headers={"Authorization": "Bearer wrong"}, timeout=10).status_code == 401


def test_a_person_takes_and_solves_a_ticket_on_its_page_and_finds_the_elevate_link(practice: Driver) -> None:
    practice.control("elevate-url", {"template": "http://localhost:1/elevate/{connection}/{ticket}"})
    base = practice.facts["helpdesk_url"]
    practice.http.post(f"{base}/sign-in", data={"account": "technician"}, timeout=10)
    page = practice.http.get(f"{base}/tickets/4821", timeout=10).text
    assert 'href="http://localhost:1/elevate/practice/4821"' in page
    for action in ("take", "solve"):
        practice.http.post(f"{base}/tickets/4821", data={"action": action}, timeout=10)
    ticket = practice.desk("bot", "GET", "tickets/4821").json()
    assert (ticket["assigned_by"], ticket["status"]) == ("technician", "solved")
