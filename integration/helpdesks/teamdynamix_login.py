"""The token of TeamDynamix's Web API, which it answers as plain text and which says itself when it ends.

Wire facts: "TeamDynamix Web API", section Auth (solutions.teamdynamix.com/TDWebApi/Home/section/Auth).
"""

import base64
import re
import time
from typing import Any

from integration.helpdesks.held_token import HeldToken
from integration.helpdesks.hostile_json import Hostile, parse
from integration.helpdesks.http import AnswerUnusable, Door
from integration.helpdesks.teamdynamix_settings import TeamDynamixSettings
from integration.helpdesks.values import table

EARLY = 300.0  # seconds before its end, from which on a token is not used any more
SHORTEST, LONGEST = 60.0, 86_400.0  # seconds that one is used, whatever it says and however wrong our clock is
UNSAID = 600.0  # seconds that a token is used which does not say when it ends
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")


class Login(HeldToken):
    """Logs in through `door`, which itself calls without a token."""

    def __init__(self, connection: str, door: Door, settings: TeamDynamixSettings) -> None:
        super().__init__()
        self._connection, self._door, self._settings = connection, door, settings

    def asked(self) -> tuple[str, float]:
        it = self._settings
        if it.password is not None:
            path, body = "/auth", {"username": it.username, "password": it.password.get_secret_value()}
        else:
            assert it.beid is not None
            assert it.web_services_key is not None
            key = it.web_services_key.get_secret_value()
            path, body = "/auth/loginadmin", {"BEID": it.beid.get_secret_value(), "WebServicesKey": key}
        # Some servers quote a text for somebody who accepts JSON.
        token = self._door.text("POST", path, json=body).strip('"')
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise AnswerUnusable(self._connection, "it holds no access token")
        return f"Bearer {token}", _lives(found[1])


def _lives(claims: str) -> float:
    """For how many seconds from now on the token with these claims is used."""
    try:
        ends: Any = table(parse(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))).get("exp")
    except (Hostile, ValueError):
        return UNSAID
    if isinstance(ends, bool) or not isinstance(ends, int | float):
        return UNSAID
    return min(max(ends - time.time() - EARLY, SHORTEST), LONGEST)
