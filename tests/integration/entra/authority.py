"""An authority that signs whatever it is told to: what the practice tenant never answers, over real TLS.

It has its own keys and its own code; a wrong ID token of it differs from a good one in exactly one thing.
"""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa

from integration.entra.client import EntraSettings

TID, OID = "8b5f0c9e-0000-4000-8000-00000000feed", "8b5f0c9e-0000-4000-8000-0000000000aa"
CLIENT = "11111111-2222-4333-8444-555555555555"
Facts = dict[str, Any]


class Authority:
    """`change` edits the claims of the next ID tokens; `sign` makes a token of them."""

    def __init__(self, folder: Path) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.change: Callable[[Facts], None] = lambda _: None
        self.sign: Callable[[Facts], str] = self.signed
        self.nonces: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.socket = _tls(folder).wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"
        self.bundle = str(folder / "ca.pem")
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def settings(self) -> EntraSettings:
        return EntraSettings(
            authority=f"{self.url}/{TID}",
            tenant_id=TID,
            client_id=CLIENT,
            graph_url=self.url,
            arm_url=self.url,
            client_secret="s",
            ca_bundle=self.bundle,
        )

    def signed(self, facts: Facts) -> str:
        return jwt.encode(facts, self.key, algorithm="RS256", headers={"kid": "one"})

    def browser(self, url: str) -> dict[str, str]:
        """What a person's browser brings back: a code that stands for the nonce of this very flow."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{len(self.nonces)}"
        self.nonces[code] = asked["nonce"]
        return {"code": code, "state": asked["state"]}

    def answer(self, path: str, form: dict[str, list[str]]) -> Any:
        if path.endswith("/.well-known/openid-configuration"):
            base = f"{self.url}/{TID}"
            return {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/keys",
            }
        if path.endswith("/keys"):
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
            return {"keys": [{**public, "kid": "one", "use": "sig"}]}
        return self._tokens(form["code"][0])

    def _tokens(self, code: str) -> Any:
        now = int(time.time())
        facts: Facts = {
            "iss": f"{self.url}/{TID}/v2.0",
            "aud": CLIENT,
            "tid": TID,
            "oid": OID,
            "sub": "sub",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "nonce": self.nonces[code],
            "preferred_username": "technician@practice.example",
            "name": "Technician One",
        }
        self.change(facts)
        info = json.dumps({"uid": OID, "utid": TID}).encode()
        return {
            "token_type": "Bearer",
            "access_token": "opaque",
            "refresh_token": "opaque",
            "expires_in": 3600,
            "id_token": self.sign(facts),
            "client_info": base64.urlsafe_b64encode(info).decode().rstrip("="),
        }


def _tls(folder: Path) -> ssl.SSLContext:
    root = trustme.CA()
    root.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    root.issue_cert("localhost").configure_cert(context)
    return context


def _handler(authority: Authority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the library's name
            self._send(authority.answer(urlsplit(self.path).path, {}))

        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._send(authority.answer(urlsplit(self.path).path, parse_qs(body)))

        def _send(self, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
