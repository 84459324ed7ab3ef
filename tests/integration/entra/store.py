"""A TokenStore in memory that keeps the contract of the real one: compare-and-set, leases, one lock."""

import threading
from dataclasses import dataclass, replace
from datetime import datetime

from integration.entra.errors import Loss
from integration.entra.tokens import TokenRow


@dataclass
class _Row:
    row: TokenRow
    holder: str | None = None
    until: datetime | None = None


class MemoryStore:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], _Row] = {}
        self.writes = 0
        self.renewed_at: datetime | None = None
        self._lock = threading.Lock()

    def read(self, tid: str, oid: str) -> TokenRow | None:
        with self._lock:
            held = self.rows.get((tid, oid))
            return held.row if held and held.row.ciphertext else None

    def version(self, tid: str, oid: str) -> int:
        with self._lock:
            held = self.rows.get((tid, oid))
            return held.row.version if held else 0

    def lease(self, tid: str, oid: str, *, holder: str, until: datetime, now: datetime) -> bool:
        with self._lock:
            held = self.rows.get((tid, oid))
            if held is None or not held.row.ciphertext or (held.until is not None and held.until > now):
                return False
            held.holder, held.until = holder, until
            return True

    def save(self, tid: str, oid: str, row: TokenRow, *, holder: str, now: datetime) -> bool:
        with self._lock:
            held = self.rows.get((tid, oid))
            if held is None or held.row.version != row.version - 1 or held.holder != holder:
                return False
            held.row = row
            self.writes += 1
            self.renewed_at = now
            return True

    def release(self, tid: str, oid: str, *, holder: str) -> None:
        with self._lock:
            held = self.rows.get((tid, oid))
            if held and held.holder == holder:
                held.holder = held.until = None

    def lost(self, tid: str, oid: str, *, holder: str, loss: Loss, why: str, now: datetime) -> None:  # noqa: ARG002
        with self._lock:
            held = self.rows.get((tid, oid))
            if held and held.holder == holder:
                held.row = replace(held.row, lost=why)

    def put(self, tid: str, oid: str, row: TokenRow, *, now: datetime) -> bool:
        with self._lock:
            held = self.rows.get((tid, oid))
            if (held.row.version if held else 0) != row.version - 1:
                return False
            self.rows[tid, oid] = _Row(row)
            self.renewed_at = now
            return True

    def delete(self, tid: str, oid: str, *, now: datetime) -> None:
        with self._lock:
            held = self.rows.get((tid, oid))
            if held:
                self.rows[tid, oid] = _Row(TokenRow(b"", held.row.version + 1, ""))
