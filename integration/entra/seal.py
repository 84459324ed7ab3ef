"""Sign-ins at rest: AES-256-GCM, bound to their row.

A blob is `01 || key id (4) || nonce (12) || ciphertext and tag`. The additional data names the purpose, the key, the
technician and the row's version, so that a blob copied into another row, or an old blob put back, does not open.
"""

import base64
import binascii
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from integration.entra.errors import SetupWrong, Unsealable

_FORM = b"\x01"
_LABEL = b"ticket-elevate/token/v1"
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{4}")


@dataclass(frozen=True)
class Key:
    """`id` is four ASCII characters; `start` and `until` are for people and the doctor, not for opening."""

    id: str
    secret: bytes = field(repr=False)
    start: datetime | None = None
    until: datetime | None = None


def generate() -> str:
    """One fresh line for a key file: `id base64`."""
    return f"{secrets.token_hex(2)} {base64.b64encode(AESGCM.generate_key(256)).decode()}"


def parse_keys(text: str) -> tuple[Key, ...]:
    """Keys from lines `id base64 [from] [until]`; blank lines and lines starting with # are skipped.

    Raises SetupWrong, naming the line and never its content.
    """
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            keys.append(_key(line.split(), number))
    if not keys:
        raise SetupWrong(
            "The key file holds no key. Put one line into it, as `ticket-elevate keys generate` prints it."
        )
    if len({key.id for key in keys}) != len(keys):
        raise SetupWrong("The key file holds two keys with the same id.")
    return tuple(keys)


def _key(words: Sequence[str], number: int) -> Key:
    try:
        if not 2 <= len(words) <= 4 or not _KEY_ID.fullmatch(words[0]):
            raise ValueError
        secret = base64.b64decode(words[1], validate=True)
        if len(secret) != 32:
            raise ValueError
        times = [datetime.fromisoformat(word) for word in words[2:]]
    except (ValueError, binascii.Error):
        # The parser's own words could quote the key.
        raise SetupWrong(
            f"Line {number} of the key file is not `id base64 [from] [until]` with a four-character id and 32 bytes."
        ) from None
    utc = [time if time.tzinfo else time.replace(tzinfo=UTC) for time in times]
    return Key(words[0], secret, *utc)


def read_keys(path: Path) -> tuple[Key, ...]:
    """Keys from a file that nobody but us (or root) can read. Raises SetupWrong."""
    try:
        with path.open(encoding="ascii") as file:
            facts = os.fstat(file.fileno())
            text = file.read(65536)
    except (OSError, UnicodeDecodeError):
        raise SetupWrong(f"The key file {path} cannot be read.") from None
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise SetupWrong(f"The key file {path} can be read by others. Make it yours alone: chmod 400.")
    if facts.st_uid not in (0, os.geteuid()):
        raise SetupWrong(f"The key file {path} belongs to another user.")
    return parse_keys(text)


class Sealer:
    """Seals with the first key, opens with any of them."""

    def __init__(self, keys: Sequence[Key]) -> None:
        if not keys:
            raise SetupWrong("No key to seal sign-ins with.")
        self._first = keys[0]
        self._secrets = {key.id: key.secret for key in keys}
        self._ciphers = {key.id.encode(): AESGCM(key.secret) for key in keys}

    @staticmethod
    def _bound_to(key_id: bytes, tid: str, oid: str, version: int) -> bytes:
        return b"\x00".join([_LABEL, key_id, tid.encode(), oid.encode(), str(version).encode()])

    def seal(self, plain: bytes, *, tid: str, oid: str, version: int) -> bytes:
        """`plain`, to be stored in the row of (tid, oid) as its `version`."""
        key_id, nonce = self._first.id.encode(), secrets.token_bytes(12)
        aad = self._bound_to(key_id, tid, oid, version)
        return _FORM + key_id + nonce + self._ciphers[key_id].encrypt(nonce, plain, aad)

    def open(self, blob: bytes, *, tid: str, oid: str, version: int) -> bytes:
        """What `seal` was given. Raises Unsealable; the row is to be kept then, the key may come back."""
        key_id, nonce, sealed = blob[1:5], blob[5:17], blob[17:]
        cipher = self._ciphers.get(key_id)
        if blob[:1] != _FORM or cipher is None or len(sealed) < 16:
            raise Unsealable("A stored sign-in was sealed with a key that is not in the key file.")
        try:
            return cipher.decrypt(nonce, sealed, self._bound_to(key_id, tid, oid, version))
        except InvalidTag:
            raise Unsealable("A stored sign-in does not belong to its row, or is damaged.") from None

    def derive(self, label: str) -> bytes:
        """32 bytes for another purpose (signing pages' tokens), from the first key: HKDF-SHA-256 with `label`."""
        info = f"ticket-elevate/{label}".encode()
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(self._secrets[self._first.id])

    def is_current(self, blob: bytes) -> bool:
        """Whether `blob` was sealed with the first key; key rotation re-seals those that were not."""
        return blob[1:5] == self._first.id.encode()
