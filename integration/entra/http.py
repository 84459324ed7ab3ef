"""The one way out to the tenant, used by MSAL and by Graph alike.

MSAL has no timeout of its own, and its `verify=` is silently beaten by REQUESTS_CA_BUNDLE; both are therefore
given with every call, and the environment is asked for proxies alone. Redirects are never followed.
"""

import os
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from integration.entra.errors import SetupWrong
from integration.entra.refusals import retry_after, throttles

TIMEOUT = 3.05, 10.0


class Throttled(requests.RequestException):
    """The sign-in service asked us to slow down; `after` seconds, if it said how many."""

    def __init__(self, after: float | None) -> None:
        super().__init__("throttled")
        self.after = after


def _session() -> requests.Session:
    # Only a connection that was never made is tried again: a code or a rotated refresh token, or an activation, may
    # have been spent when a read times out. Without respect_retry_after_header=False urllib3 turns a 429 into an error.
    retries = Retry(
        connect=2,
        read=0,
        status=0,
        other=0,
        redirect=0,
        backoff_factor=0.2,
        allowed_methods=None,
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", HTTPAdapter(max_retries=retries))
    # One session serves all technicians: nothing may travel from one's answer into another's request.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


class EntraHttp:
    """MSAL's `http_client` duck type (get, post, close) and `request` for Graph.

    `ca_bundle`: path of a PEM file to trust instead of the usual ones. `timeout`: seconds to connect, seconds to read;
    a call may bring its own.
    Raises SetupWrong for a missing bundle; calls raise requests' own exceptions, which the callers translate.
    """

    def __init__(self, ca_bundle: str | None = None, timeout: tuple[float, float] = TIMEOUT) -> None:
        if ca_bundle and not Path(ca_bundle).is_file():
            raise SetupWrong(f"The file of trusted authorities {ca_bundle} cannot be found.")
        self._fixed: dict[str, Any] = {"verify": ca_bundle or True, "timeout": timeout, "allow_redirects": False}
        self._session = _session()
        self._proxies: dict[str, dict[str, str]] = {}
        self._pid = os.getpid()

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        if self._pid != os.getpid():
            # A forked worker must not talk over its parent's TLS connection.
            self._session, self._pid = _session(), os.getpid()
        return self._session.request(method, url, proxies=self._proxies_for(url), **{**self._fixed, **kwargs})

    def _proxies_for(self, url: str) -> dict[str, str]:
        """The environment's, looked up once for each host: each look costs as much as a call."""
        host = urlsplit(url).netloc
        if host not in self._proxies:
            self._proxies[host] = dict(requests.utils.get_environ_proxies(url))
        return self._proxies[host]

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        return self.request("GET", url, **kwargs)

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        """MSAL's way to the token endpoint. Raises Throttled: MSAL tells neither the status nor how long to wait."""
        answer = self.request("POST", url, **kwargs)
        after = retry_after(answer.headers.get("Retry-After"))
        if throttles(answer.status_code, after):
            raise Throttled(after)
        return answer

    def close(self) -> None:
        self._session.close()
