"""The MSAL app: how it is built, once per call. Settings of the tenant, its credential and its discovery."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msal
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from integration.entra.errors import EntraUnavailable, SetupWrong
from integration.entra.http import EntraHttp
from integration.targets import Probe, TargetKind


@dataclass(frozen=True)
class EntraSettings:
    """Where the tenant is and who we are to it.

    `authority`: https, with or without the tenant's id at its end. One of `client_secret`, `certificate_path` (PEM with
    key and certificate) and `assertion_file` (a federated token that the platform keeps fresh) is needed.
    """

    authority: str
    tenant_id: str
    client_id: str
    graph_url: str = "https://graph.microsoft.com"
    arm_url: str = "https://management.azure.com"
    client_secret: str | None = field(default=None, repr=False)
    certificate_path: str | None = None
    assertion_file: str | None = None
    ca_bundle: str | None = None
    # What the rules make use of, which decides what permissions are asked for. `probes`: the harmless reads, by name.
    kinds: frozenset[TargetKind] = frozenset({TargetKind.DIRECTORY_ROLE})
    probes: frozenset[Probe] = frozenset()
    by_unit: bool = False
    revokes_sessions: bool = False

    @property
    def tenant_authority(self) -> str:
        base = self.authority.rstrip("/")
        return base if base.lower().endswith("/" + self.tenant_id.lower()) else f"{base}/{self.tenant_id}"


class DiscoveryOnly(dict[Any, Any]):
    """MSAL's http_cache without its memory of POSTs: it would replay a refusal for a minute after it was healed."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if not (isinstance(key, str) and key.startswith("POST ")):
            super().__setitem__(key, value)


class _NoBodies(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Token response is not in json format")


def quiet_msal() -> None:
    """At DEBUG MSAL prints code and verifier; a cut-off token answer it prints, tokens and all, at ERROR."""
    logging.getLogger("msal").setLevel(logging.WARNING)
    logger = logging.getLogger("msal.oauth2cli.oauth2")
    if not any(isinstance(seen, _NoBodies) for seen in logger.filters):
        logger.addFilter(_NoBodies())


def _read(path: str, what: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise SetupWrong(f"The {what} {path} cannot be read.") from None


def _credential(settings: EntraSettings) -> Any:
    if settings.assertion_file:
        path = settings.assertion_file
        read: Callable[[], str] = lambda: _read(path, "assertion file").strip()  # noqa: E731
        return {"client_assertion": read}
    if settings.certificate_path:
        pem = _read(settings.certificate_path, "certificate file")
        try:
            # The loaded object: MSAL parses a PEM again at every refresh, which is three times as slow.
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError):
            raise SetupWrong(f"The certificate file {settings.certificate_path} holds no usable private key.") from None
        begin = pem.find("-----BEGIN CERTIFICATE-----")
        if begin < 0:
            raise SetupWrong(f"The certificate file {settings.certificate_path} holds no certificate.")
        return {"private_key": key, "public_certificate": pem[begin:]}
    if settings.client_secret:
        return settings.client_secret
    raise SetupWrong("The app has no credential: set a certificate, an assertion file or a client secret.")


class Client:
    """Builds MSAL apps; reads the tenant's discovery document once."""

    def __init__(self, settings: EntraSettings, http: EntraHttp) -> None:
        quiet_msal()
        self.settings = settings
        self._http = http
        self._credential = _credential(settings)
        self._cache = DiscoveryOnly()
        self._discovery: dict[str, Any] | None = None

    def app(self, cache: Any) -> Any:
        """A ConfidentialClientApplication on `cache`; cheap, as discovery is remembered. Raises EntraUnavailable."""
        try:
            return msal.ConfidentialClientApplication(
                self.settings.client_id,
                client_credential=self._credential,
                authority=self.settings.tenant_authority,
                token_cache=cache,
                http_client=self._http,
                http_cache=self._cache,
                client_capabilities=["CP1"],  # without it PIM repeats its challenge for ever
                instance_discovery=False,
                azure_region=False,
            )
        except (requests.RequestException, ValueError, msal.exceptions.MsalServiceError):
            raise EntraUnavailable("Microsoft Entra's sign-in service did not answer; it is tried again.") from None

    def discovery(self) -> dict[str, Any]:
        """The OpenID configuration of the tenant. Raises EntraUnavailable."""
        if self._discovery is None:
            url = f"{self.settings.tenant_authority}/v2.0/.well-known/openid-configuration"
            try:
                answer = self._http.get(url)
                document = json.loads(answer.text) if answer.status_code == 200 else None
            except (requests.RequestException, ValueError):
                document = None
            if not isinstance(document, dict) or not isinstance(document.get("jwks_uri"), str):
                raise EntraUnavailable("Microsoft Entra's sign-in service did not answer; it is tried again.")
            self._discovery = document
        return self._discovery
