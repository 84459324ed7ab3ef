"""The desk's accounts under the whole numbers that most vendors give them."""

from __future__ import annotations

from sandbox.desk import SERVICE, Account, Desk


class Numbered:
    def __init__(self, desk: Desk, first: int) -> None:
        self._desk, self._first = desk, first

    def all(self) -> list[Account]:
        return [SERVICE, *self._desk.accounts()]

    def id(self, account: str | None) -> int | None:
        ids = [it.id for it in self.all()]
        return self._first + ids.index(account) if account in ids else None

    def account(self, number: str) -> Account | None:
        return next((it for it in self.all() if str(self.id(it.id)) == number), None)
