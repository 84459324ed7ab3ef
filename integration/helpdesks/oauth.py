"""Access tokens of the OAuth 2.0 client credentials grant, for helpdesks that let programs in with nothing else.

Source: RFC 6749, 4.4 and 5.1.
"""

from typing import Any

from pydantic import SecretStr

from integration.helpdesks.held_token import HeldToken
from integration.helpdesks.http import AnswerUnusable, Door

EARLY = 60.0  # seconds before its end, from which on a token is not used any more
UNSAID = 600.0  # seconds that a token is used whose end was not told


class ClientCredentials(HeldToken):
    """Asks for tokens at `path` of the helpdesk's own `door`, which itself calls without one."""

    def __init__(
        self, connection: str, door: Door, path: str, *, client_id: str, client_secret: SecretStr, scope: str = ""
    ) -> None:
        super().__init__()
        self._connection, self._door, self._path = connection, door, path
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "scope": scope}
        self._secret = client_secret

    def asked(self) -> tuple[str, float]:
        form = {**{k: v for k, v in self._form.items() if v}, "client_secret": self._secret.get_secret_value()}
        answer: Any = self._door.call("POST", self._path, form=form)
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise AnswerUnusable(self._connection, "it holds no access token")
        lives = answer.get("expires_in")
        seconds = float(lives) if isinstance(lives, int | float) and not isinstance(lives, bool) else UNSAID
        return f"Bearer {token}", max(seconds - EARLY, 0.0)
