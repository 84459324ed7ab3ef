"""What is told beyond the ticket: to whom it is due, once, and never with a secret. The servers are real and local."""

import json
import logging
import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from freezegun import freeze_time
from pydantic import SecretStr, ValidationError

from integration import notify, settings
from integration.deployment import Deployment
from integration.elevation import LEASE, Elevation, State
from integration.notices import NoticeKind
from integration.records import journal, notices
from integration.records.tables import notices as table
from integration.settings import Notify
from workers import schedule
from workers.app import STEPS
from workers.change import change
from workers.run import Run, What, go

SECRET = "sentinel-7f3a91"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass
class Chat:
    """A server that remembers what it was sent, and can be told to refuse."""

    port: int = 0
    status: int = 200
    sends_to: str | None = None
    got: list[tuple[str, Any]] = field(default_factory=list)


def serve(chat: Chat, wrap: Callable[[socket.socket], socket.socket] | None = None) -> HTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            chat.got.append((self.path, json.loads(body)))
            led = chat.sends_to is not None and self.path != chat.sends_to
            self.send_response(307 if led else chat.status)
            if led:
                self.send_header("Location", str(chat.sends_to))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", chat.port), Handler)
    if wrap:
        server.socket = wrap(server.socket)
    chat.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


@pytest.fixture
def chat() -> Iterator[Chat]:
    made = Chat()
    server = serve(made)
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def desk_of(deployment: Deployment) -> Callable[..., Deployment]:
    def told(**lists: list[str]) -> Deployment:
        deployment.settings = deployment.settings.model_copy(update={"notify": Notify.model_validate(lists)})
        return deployment

    return told


def elevation(**more: Any) -> Elevation:
    made = Elevation(
        id="01JNE0000000000000000000E1",
        connection="practice",
        ticket="4711",
        account="technician",
        pick="1",
        state=State.PENDING,
        version=1,
        due_at=None,
        created_at=START,
        target_name="Helpdesk Administrator",
    )
    return replace(made, **more)


def tell(deployment: Deployment, kind: NoticeKind, it: Elevation | None = None) -> None:
    with change(Run(deployment, cause="sweep")) as changed:
        changed.notify(kind, it or elevation())


def sweep(deployment: Deployment) -> None:
    for due in schedule.due(deployment, now=datetime.now(UTC)):
        go(Run(deployment, cause="sweep"), due, STEPS)


def rows(deployment: Deployment) -> list[notices.Notice]:
    with deployment.records.read() as connection:
        return notices.of_elevation(connection, elevation().id)


def test_nobody_is_told_where_nothing_is_set(deployment):
    for kind in NoticeKind:
        tell(deployment, kind)

    assert rows(deployment) == []


def test_each_kind_goes_to_its_own_address_once(desk_of, chat):
    base = f"json://127.0.0.1:{chat.port}"
    desk = desk_of(approvals=[f"{base}/approvals"], step_ups=[f"{base}/step-ups"])
    tell(desk, NoticeKind.APPROVAL)
    tell(desk, NoticeKind.BREAK_GLASS)

    sweep(desk)
    sweep(desk)

    assert [path for path, _ in chat.got] == ["/approvals"]
    said = chat.got[0][1]
    assert said["title"] == "Approval needed: Helpdesk Administrator"
    assert "4711" in said["message"]
    assert desk.helpdesks["practice"].ticket_url("4711") in said["message"]
    assert f"{desk.settings.public_url}/approvals" in said["message"]
    (row,) = rows(desk)
    assert (row.outcome, row.due_at, row.text, row.attempts) == ("sent", None, "", 1)


def test_a_dead_address_is_tried_later_and_holds_up_no_other(desk_of, chat):
    dead = Chat()
    server = serve(dead)
    server.shutdown()
    server.server_close()
    desk = desk_of(step_ups=[f"json://127.0.0.1:{dead.port}/{SECRET}", f"json://127.0.0.1:{chat.port}/alive"])
    with freeze_time(START) as clock:
        tell(desk, NoticeKind.STEP_UP)
        sweep(desk)
        assert [path for path, _ in chat.got] == ["/alive"]
        assert rows(desk)[0].due_at == START + timedelta(seconds=10)

        server = serve(dead)
        clock.tick(11)
        sweep(desk)
        server.shutdown()
        server.server_close()

    assert len(dead.got) == 1
    assert len(chat.got) == 1
    assert [row.outcome for row in rows(desk)] == ["sent", "sent"]


def test_a_notice_whose_worker_died_is_sent_again_and_none_is_sent_meanwhile(desk_of, chat):
    desk = desk_of(approvals=[f"json://127.0.0.1:{chat.port}/x"], step_ups=[f"json://127.0.0.1:{chat.port}/y"])
    with freeze_time(START) as clock:
        tell(desk, NoticeKind.APPROVAL)
        with desk.records.write() as tx:
            dying = notices.claim(tx, rows(desk)[0].id, now=START)
            assert dying is not None
            notices.begin(tx, dying)
        tell(desk, NoticeKind.STEP_UP)
        sweep(desk)
        assert chat.got == []

        clock.tick(LEASE + timedelta(seconds=1))
        sweep(desk)
        clock.tick(2)
        sweep(desk)

    assert sorted(path for path, _ in chat.got) == ["/x", "/y"]


def test_while_an_address_fails_its_other_notices_are_not_tried(desk_of, chat):
    chat.status = 503
    desk = desk_of(approvals=[f"json://127.0.0.1:{chat.port}/x"])
    with freeze_time(START):
        for _ in range(3):
            tell(desk, NoticeKind.APPROVAL)
        sweep(desk)

    assert len(chat.got) == 1
    assert sorted(row.attempts for row in rows(desk)) == [0, 0, 1]


def test_a_notice_is_given_up_after_a_day_and_the_journal_says_so(desk_of, chat):
    chat.status = 500
    desk = desk_of(break_glass=[f"json://127.0.0.1:{chat.port}/{SECRET}"])
    with freeze_time(START) as clock:
        tell(desk, NoticeKind.BREAK_GLASS)
        for _ in range(27):
            sweep(desk)
            clock.tick(timedelta(hours=1))

    (row,) = rows(desk)
    assert row.due_at is None
    assert row.sent_at is None
    with desk.records.read() as connection:
        lines = list(journal.export(connection))
    refused = [line for line in lines if "notice.refused" in line]
    assert len(refused) == 1
    assert SECRET not in "".join(lines) + str(row.outcome)


def test_no_secret_of_an_address_is_logged_kept_or_shown(desk_of, chat, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    desk = desk_of(
        approvals=[
            f"json://{SECRET}:{SECRET}@127.0.0.1:{chat.port}/{SECRET}",
            f"json://127.0.0.1:1/{SECRET}",
            f"workflows://127.0.0.1:{chat.port}/{SECRET}/{SECRET}",
            f"mailto://{SECRET}:{SECRET}@127.0.0.1:1?from=a@example.com&to=b@example.com",
        ]
    )
    with freeze_time(START) as clock:
        tell(desk, NoticeKind.APPROVAL)
        for _ in range(3):
            sweep(desk)
            clock.tick(30)

    assert chat.got
    assert len(rows(desk)) == 4
    shown = "".join(capfd.readouterr()) + caplog.text + repr(desk.settings) + str(desk.settings.model_dump())
    with desk.records.read() as connection:
        shown += "".join(journal.export(connection)) + str(connection.execute(sa.select(table)).all())
    assert SECRET not in shown


@pytest.fixture
def teams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    """A workflow's server: with TLS, and a certificate that this test trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    keys = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "both.pem").write_bytes(keys + made.public_bytes(pem))
    (tmp_path / "ca.pem").write_bytes(made.public_bytes(pem))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    chat = Chat(status=202)
    server = serve(chat, lambda plain: context.wrap_socket(plain, server_side=True))
    yield chat
    server.shutdown()
    server.server_close()


HOSTILE = "@everyone <at>all</at> [here](https://evil.example/x) **bold** <b>&lt;</b> www.evil.example\n# head"


def test_a_workflow_gets_a_card_in_which_a_reason_is_only_words(desk_of, teams):
    desk = desk_of(break_glass=[f"workflows://127.0.0.1:{teams.port}/flow/signature"])
    tell(desk, NoticeKind.BREAK_GLASS, elevation(emergency=True, reason=HOSTILE, target_name="User_Admin <at>x</at>"))

    sweep(desk)

    ((path, card),) = teams.got
    assert path.startswith("/workflows/flow/triggers/manual/paths/invoke")
    (content,) = [it["content"] for it in card["attachments"]]
    assert "entities" not in content["msteams"]
    said = "\n".join(it["text"] for it in content["body"] if it["type"] == "TextBlock")
    assert "everyone at all" in said
    assert f"{desk.settings.public_url}/review/" in said
    ours = said.replace(desk.settings.public_url, "")
    assert not any(mark in ours for mark in ("@", "<", "[", "*", "#", "://", "evil.example", "www.evil"))


@pytest.fixture
def mail() -> Iterator[tuple[int, list[str]]]:
    got: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline().strip().upper():
                if line == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (text := self.rfile.readline()) != b".\r\n":
                        lines.append(text)
                    got.append(b"".join(lines).decode())
                self.wfile.write(b"221 bye\r\n" if line == b"QUIT" else b"250 fine\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.server_address[1], got
        server.shutdown()


def test_a_mail_is_sent_to_whom_the_address_names(desk_of, mail):
    port, got = mail
    desk = desk_of(step_ups=[f"mailto://127.0.0.1:{port}?from=elevate@example.com&to=desk@example.com&mode=insecure"])
    tell(desk, NoticeKind.STEP_UP)

    sweep(desk)

    assert len(got) == 1
    assert "desk@example.com" in got[0]
    assert "Sign-in needed: Helpdesk Administrator" in got[0]
    assert rows(desk)[0].outcome == "sent"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (f"msteams://{SECRET}/a/b/c", "retired"),
        (f"slack://{SECRET}/b/c", "must start with"),
        (f"workflows://{SECRET}", "not a complete address"),
        (f"workflows://host/{SECRET}/sig?template=/etc/passwd", "parameter"),
        (f"jsons://host/{SECRET}?verify=no", "parameter"),
        (f"jsons://host/{SECRET} jsons://other", "spaces"),
        (f"jsons://[{SECRET}/", "not a"),
    ],
)
def test_a_wrong_address_is_named_by_its_place_and_never_shown(address, words, tmp_path, monkeypatch):
    path = tmp_path / "settings.toml"
    path.write_text(
        'public_url = "https://elevate.example.com"\n[entra]\nauthority = "https://login.microsoftonline.com/t"\n'
        'tenant_id = "t"\nclient_id = "c"\nclient_secret = "s"\n[helpdesks.one]\n'
        f'[notify]\napprovals = ["json://127.0.0.1/x", "{address}"]\n'
    )
    monkeypatch.setenv(settings.SETTINGS_VARIABLE, str(path))

    with pytest.raises(settings.SettingsInvalid, match="address 2 of approvals is not usable") as raised:
        settings.load()

    assert words in str(raised.value)
    assert SECRET not in str(raised.value)


def test_addresses_are_read_from_a_file_one_in_each_line(tmp_path):
    (tmp_path / "addresses").write_text("json://127.0.0.1/a\n\n  json://127.0.0.1/b\n")

    read = Notify.model_validate({"step_ups_file": str(tmp_path / "addresses")})

    assert [it.get_secret_value() for it in read.of(NoticeKind.STEP_UP)] == ["json://127.0.0.1/a", "json://127.0.0.1/b"]
    assert read.of(NoticeKind.APPROVAL) == ()


def test_an_error_about_an_address_does_not_hold_it():
    with pytest.raises(ValidationError) as raised:
        Notify.model_validate({"approvals": [f"workflows://{SECRET}"]})

    assert SECRET not in str(raised.value) + repr(raised.value)


def test_every_address_that_the_page_shows_is_taken():
    page = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text(encoding="utf-8")
    shown = re.findall(r"`((?:workflows|mailtos?|jsons?)://[^`]+)`", page)
    filled = {"host": "h.example", "domain": "d.example", "server": "s.example", "address": "a@d.example"}
    addresses = [re.sub("<([a-z]+)>", lambda it: filled.get(it[1], "word"), it) for it in shown]

    assert len(addresses) >= 5
    for address in [*addresses, f"{addresses[0]}?pa=yes", f"{addresses[3]}?+X-Token=word"]:
        notify.check(SecretStr(address))


def test_a_redirect_is_not_followed(chat):
    chat.sends_to = "/elsewhere"

    with pytest.raises(notify.NotSent):
        notify.send(SecretStr(f"json://127.0.0.1:{chat.port}/x"), title="t", text="x")

    assert [path for path, _ in chat.got] == ["/x"]


def test_a_notice_is_a_row_of_the_sweep():
    assert schedule.TABLES[What.NOTICE] is table
