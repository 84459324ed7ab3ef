"""National clouds: with one setting the main job goes to that cloud's hosts and to no other, through a proxy."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from integration.deployment import Deployment
from integration.elevation import State
from integration.entra.clouds import CLOUDS
from tests.conftest import Desk, Practice, practice_runs, settings_for
from tests.workers.steps import pick


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy as companies have it, whose names all lead to the practice tenant; it keeps the names it was asked."""

    daemon_threads = True

    def __init__(self, ports: dict[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.ports = ports
        self.asked: set[str] = set()


class _Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        method, place, _version = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.add(f"{method} {place}")
        port = self.server.ports.get(place)
        if method != "CONNECT" or port is None:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port)) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture(params=sorted(CLOUDS))
def cloud(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def practice(cloud: str, tmp_path: Path) -> Iterator[Practice]:
    it = CLOUDS[cloud]
    with practice_runs(tmp_path, "--hosts", it.login, it.graph, it.arm) as made:
        yield made


@pytest.fixture
def proxy(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    ports = {f"{url.removeprefix('https://')}:443": port for url, port in practice.facts["ports"].items()}
    with ExitStack() as stack:
        made = stack.enter_context(Proxy(ports))
        stack.callback(made.shutdown)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{made.server_address[1]}")
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        yield made


@pytest.fixture
def deployment(cloud: str, practice: Practice, proxy: Proxy, sqlite_url: str, tmp_path: Path) -> Iterator[Deployment]:
    azure = practice.people["technician"]["eligible_azure"][0]
    rules = tmp_path / "rules.toml"
    rules.write_text(f"""
[[rule]]
name = "Both"
match = {{ category = "Password reset" }}
roles = ["Password Administrator", {{ azure_role = "{azure["roleDefinitionId"]}", scope = "{azure["scope"]}" }}]
duration = "30m"
bundle = "all"
""")
    names = ("tenant_id", "client_id", "client_secret", "ca_bundle")
    entra = {name: practice.facts[name] for name in names} | {"cloud": cloud}
    made = Deployment(settings_for(practice, sqlite_url, tmp_path, rules_file=rules, entra=entra))
    made.records.migrate()
    yield made
    made.records.dispose()


def test_a_role_and_an_azure_role_are_had_and_given_back(
    desk: Desk, practice: Practice, proxy: Proxy, cloud: str
) -> None:
    desk.link()
    ticket = pick(desk, practice)
    assert [it.state for it in desk.elevations(ticket)] == [State.ACTIVE, State.ACTIVE]
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    assert [it.state for it in desk.elevations(ticket)] == [State.ENDED, State.ENDED]
    it = CLOUDS[cloud]
    assert proxy.asked == {f"CONNECT {host}:443" for host in (it.login, it.graph, it.arm)}
