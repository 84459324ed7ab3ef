"""Servers on free loopback ports: cheroot, threaded, keep-alive, TLS under a throw-away local authority."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import trustme
from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from sandbox.traffic import WsgiApp


class Certificates:
    """A local authority and one certificate for localhost and other `names`, as files in `folder`."""

    def __init__(self, folder: Path, names: Iterable[str] = ()) -> None:
        authority = trustme.CA(organization_name="Practice tenant")
        leaf = authority.issue_cert("localhost", "127.0.0.1", *names)
        self.bundle = folder / "practice-ca.pem"
        self._chain, self._key = folder / "practice-chain.pem", folder / "practice-key.pem"
        authority.cert_pem.write_to_path(str(self.bundle))
        self._chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        self._key.touch(mode=0o600)
        leaf.private_key_pem.write_to_path(str(self._key))

    def adapter(self) -> BuiltinSSLAdapter:
        return BuiltinSSLAdapter(str(self._chain), str(self._key))


class Server:
    """One app on one free port; `port` is known before the app is. `name`: a host that only a proxy leads here from."""

    def __init__(self, certificates: Certificates | None = None, name: str | None = None) -> None:
        self._server = wsgi.Server(("127.0.0.1", 0), _not_ready, numthreads=10, request_queue_size=128, timeout=30)
        # A reader that waits for its answer must not hold up a stop.
        self._server.shutdown_timeout = 1
        if certificates:
            self._server.ssl_adapter = certificates.adapter()
        self._server.prepare()
        self.port: int = self._server.bind_addr[1]
        self.url = f"{'https' if certificates else 'http'}://{name or f'localhost:{self.port}'}"

    def start(self, app: WsgiApp) -> None:
        self._server.wsgi_app = app
        threading.Thread(target=self._server.serve, name=self.url, daemon=True).start()

    def stop(self) -> None:
        self._server.stop()


def _not_ready(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
    return [b"not ready"]
