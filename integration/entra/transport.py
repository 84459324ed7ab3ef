"""Microsoft Graph and Azure Resource Manager over `requests`: one call, its errors in our terms, and paging."""

import json as jsonlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import requests
from urllib3.exceptions import NewConnectionError

from integration.entra import refusals
from integration.entra.errors import EntraUnavailable
from integration.entra.http import TIMEOUT, EntraHttp

log = logging.getLogger(__name__)

_PAGES = 50


class Transport:
    """Calls below `base`, each with the query `always`. `patience`: seconds to wait for what is only read."""

    def __init__(
        self,
        base: str,
        http: EntraHttp,
        *,
        always: Mapping[str, str] | None = None,
        patience: float = TIMEOUT[1],
    ) -> None:
        self._base = base.rstrip("/")
        self._http = http
        self._always = dict(always or {})
        self._patience = patience

    def call(
        self,
        method: str,
        path: str,
        token: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer's JSON object ({} for 204). `path` starts with a slash. Raises the family of `errors`."""
        return self._send(method, self._base + path, token, json, {**self._always, **(params or {})})

    def items(self, path: str, token: str, *, params: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """The objects of a collection, page after page.

        What is no list, or goes on elsewhere, ends in EntraUnavailable: it must not pass for an empty list.
        """
        url: str = self._base + path
        query: Mapping[str, str] | None = {**self._always, **(params or {})}
        for _ in range(_PAGES):
            page = self._send("GET", url, token, None, query)
            value = page.get("value")
            if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
                raise EntraUnavailable("Microsoft Entra's answer could not be read; it is tried again.")
            yield from value
            following = page.get("@odata.nextLink") or page.get("nextLink")
            if not following:
                return
            if not isinstance(following, str) or urlsplit(following)[:2] != urlsplit(self._base)[:2]:
                raise EntraUnavailable("Microsoft Entra's answer pointed elsewhere and was not followed.")
            url, query = following, None
        raise EntraUnavailable("Microsoft Entra's answer did not end.")

    def _send(
        self, method: str, url: str, token: str, json: Mapping[str, Any] | None, params: Mapping[str, str] | None
    ) -> dict[str, Any]:
        changes = method != "GET"
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "client-request-id": str(uuid4()),
        }
        try:
            timeout = TIMEOUT if changes else (TIMEOUT[0], self._patience)
            answer = self._http.request(method, url, headers=headers, json=json, params=params, timeout=timeout)
            text = answer.text
        except requests.RequestException as failure:
            raise EntraUnavailable(
                "Microsoft Entra did not answer; it is tried again.",
                outcome_unknown=changes and not _never_sent(failure),
            ) from None
        if not 200 <= answer.status_code < 300:
            refusal = refusals.parse(answer.status_code, answer.headers, text)
            _note(method, refusal.status, refusal.code, refusal.request_id, headers["client-request-id"])
            raise refusals.error_for(refusal, answer.headers, changes=changes)
        return _object(answer.status_code, text, changes=changes)


def _note(method: str, status: int, code: str, request_id: str | None, ours: str) -> None:
    # An allow-list: never the address (it may hold ids), never the body.
    log.info("entra %s answered %s %s request-id=%s client-request-id=%s", method, status, code, request_id, ours)


def _never_sent(failure: requests.RequestException) -> bool:
    if isinstance(failure, requests.ConnectTimeout):
        return True
    return any(isinstance(getattr(cause, "reason", None), NewConnectionError) for cause in failure.args)


def _object(status: int, text: str, *, changes: bool) -> dict[str, Any]:
    if status == 204 or not text:
        return {}
    try:
        value = jsonlib.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise EntraUnavailable("Microsoft Entra's answer was cut off; it is tried again.", outcome_unknown=changes)
    return value
