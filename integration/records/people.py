"""Links between helpdesk accounts and Entra users, token caches, and the tenant's answers that are kept for a while."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from integration.records.store import Records
from integration.records.tables import links, tenant_answers, token_caches


@dataclass(frozen=True)
class Link:
    connection: str
    account: str
    tid: str
    oid: str
    technician: str
    address: str
    made_at: datetime
    suspended_at: datetime | None


def link_of(connection: sa.Connection, desk: str, account: str) -> Link | None:
    row = connection.execute(sa.select(links).where(links.c.connection == desk, links.c.account == account)).first()
    return None if row is None else Link(**row._mapping)


def links_of_user(connection: sa.Connection, tid: str, oid: str) -> list[Link]:
    rows = connection.execute(sa.select(links).where(links.c.tid == tid, links.c.oid == oid))
    return [Link(**row._mapping) for row in rows]


def make_link(tx: sa.Connection, link: Link) -> None:
    """The new link ends every older one of this account and of this user in this helpdesk."""
    same_account = sa.and_(links.c.connection == link.connection, links.c.account == link.account)
    same_user = sa.and_(links.c.connection == link.connection, links.c.tid == link.tid, links.c.oid == link.oid)
    tx.execute(links.delete().where(sa.or_(same_account, same_user)))
    tx.execute(links.insert().values(**link.__dict__))


def suspend_link(tx: sa.Connection, link: Link, *, now: datetime) -> None:
    mine = sa.and_(links.c.connection == link.connection, links.c.account == link.account)
    tx.execute(links.update().where(mine).values(suspended_at=now))


def answer(connection: sa.Connection, key: str, *, newer_than: datetime) -> str | None:
    query = sa.select(tenant_answers.c.answer).where(tenant_answers.c.key == key, tenant_answers.c.read_at > newer_than)
    return connection.execute(query).scalar()


def keep_answer(tx: sa.Connection, key: str, text: str, *, now: datetime) -> None:
    tx.execute(tenant_answers.delete().where(tenant_answers.c.key == key))
    tx.execute(tenant_answers.insert().values(key=key, answer=text, read_at=now))


def forget_answer(tx: sa.Connection, key: str) -> None:
    tx.execute(tenant_answers.delete().where(tenant_answers.c.key == key))


@dataclass(frozen=True)
class TokenRow:
    """One technician's sealed MSAL cache. `sealed` is bound to tid, oid and `version`."""

    tid: str
    oid: str
    home_account_id: str
    sealed: bytes
    version: int
    signed_in_at: datetime


class TokenRows:
    """The token store that `integration.entra` asks for: lease first, re-read, save by compare-and-set."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def read(self, tid: str, oid: str) -> TokenRow | None:
        query = sa.select(
            token_caches.c.tid,
            token_caches.c.oid,
            token_caches.c.home_account_id,
            token_caches.c.sealed,
            token_caches.c.version,
            token_caches.c.signed_in_at,
        ).where(token_caches.c.tid == tid, token_caches.c.oid == oid)
        with self._records.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else TokenRow(**row._mapping)

    def lease(self, tid: str, oid: str, *, holder: str, now: datetime, length: timedelta) -> bool:
        free = sa.or_(token_caches.c.lease_until.is_(None), token_caches.c.lease_until <= now)
        mine = sa.and_(token_caches.c.tid == tid, token_caches.c.oid == oid, free)
        with self._records.write() as tx:
            values = {"lease_holder": holder, "lease_until": now + length}
            return bool(tx.execute(token_caches.update().where(mine).values(values)).rowcount)

    def save(self, row: TokenRow, *, holder: str, seen_version: int) -> bool:
        mine = sa.and_(
            token_caches.c.tid == row.tid,
            token_caches.c.oid == row.oid,
            token_caches.c.version == seen_version,
            token_caches.c.lease_holder == holder,
        )
        values = {"sealed": row.sealed, "version": row.version}
        with self._records.write() as tx:
            return bool(tx.execute(token_caches.update().where(mine).values(values)).rowcount)

    def release(self, tid: str, oid: str, *, holder: str) -> None:
        mine = sa.and_(token_caches.c.tid == tid, token_caches.c.oid == oid, token_caches.c.lease_holder == holder)
        with self._records.write() as tx:
            tx.execute(token_caches.update().where(mine).values(lease_holder=None, lease_until=None))

    def put(self, row: TokenRow) -> None:
        """What an interactive sign-in brought: replaces whatever was there, and whoever was refreshing it."""
        same = sa.and_(token_caches.c.tid == row.tid, token_caches.c.oid == row.oid)
        with self._records.write() as tx:
            tx.execute(token_caches.delete().where(same))
            tx.execute(token_caches.insert().values(**row.__dict__))

    def forget(self, tid: str, oid: str) -> None:
        with self._records.write() as tx:
            tx.execute(token_caches.delete().where(token_caches.c.tid == tid, token_caches.c.oid == oid))
