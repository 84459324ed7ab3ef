"""Links between helpdesk accounts and Entra users, token caches, and the tenant's answers that are kept for a while."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from integration.entra.errors import Loss
from integration.entra.tokens import TokenRow
from integration.journal import Kind
from integration.records import journal, signins
from integration.records.store import Records, put
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

    def is_of(self, address: str | None) -> bool:
        """Whether it is live, and of an account that still has this address: another may be somebody else's by now."""
        return self.suspended_at is None and (address or "").casefold() == self.address.casefold()


_LINK = sa.select(links).where(
    links.c.connection == sa.bindparam("desk"), links.c.account == sa.bindparam("of_account")
)
_ANSWERS = sa.select(tenant_answers.c.name, tenant_answers.c.answer).where(
    tenant_answers.c.tid == sa.bindparam("of_tid"),
    tenant_answers.c.oid == sa.bindparam("of_oid"),
    tenant_answers.c.read_at > sa.bindparam("newer_than"),
)
_CACHE = sa.select(token_caches).where(
    token_caches.c.tid == sa.bindparam("of_tid"), token_caches.c.oid == sa.bindparam("of_oid")
)


def link_of(connection: sa.Connection, desk: str, account: str) -> Link | None:
    row = connection.execute(_LINK, {"desk": desk, "of_account": account}).first()
    return None if row is None else Link(**row._mapping)


def links_of_user(connection: sa.Connection, tid: str, oid: str) -> list[Link]:
    rows = connection.execute(sa.select(links).where(links.c.tid == tid, links.c.oid == oid))
    return [Link(**row._mapping) for row in rows]


def all_links(connection: sa.Connection) -> list[Link]:
    rows = connection.execute(sa.select(links).order_by(links.c.connection, links.c.account))
    return [Link(**row._mapping) for row in rows]


def in_the_way(connection: sa.Connection, link: Link, *, lock: bool = False) -> list[Link]:
    """The links of its account and of its user in its helpdesk: they must end before `link` can be made.

    `lock`: and they are nobody else's until the transaction ends.
    """
    same_user = sa.and_(links.c.tid == link.tid, links.c.oid == link.oid)
    either = sa.and_(links.c.connection == link.connection, sa.or_(links.c.account == link.account, same_user))
    query = sa.select(links).where(either).order_by(links.c.account)
    rows = connection.execute(query.with_for_update() if lock else query)
    return [Link(**row._mapping) for row in rows]


def make_link(tx: sa.Connection, link: Link) -> None:
    """Raises sqlalchemy's IntegrityError where the account, or the user in this helpdesk, has a link."""
    tx.execute(links.insert().values(**link.__dict__))


def end_link(tx: sa.Connection, link: Link, *, now: datetime, cause: str, why: str, actor: str | None = None) -> bool:
    """Delete the link and write that down, with the oid of who did it. False where it was ended since it was read.

    Where another link follows in `tx`, `delete_link`, make that one, and `record_end` last.
    """
    if not delete_link(tx, link):
        return False
    record_end(tx, link, now=now, cause=cause, why=why, actor=actor)
    return True


def delete_link(tx: sa.Connection, link: Link) -> bool:
    """False where it was ended since it was read."""
    return bool(tx.execute(links.delete().where(_same(link))).rowcount)


def record_end(tx: sa.Connection, link: Link, *, now: datetime, cause: str, why: str, actor: str | None = None) -> None:
    """Write down that the link was deleted. It locks the journal, which is everybody's: after all other rows."""
    facts = {"helpdesk": link.connection, "why": why}
    private = {"actor": actor, "account": link.account, "linked_to": link.oid}
    journal.append(tx, Kind.LINK_ENDED, now=now, cause=cause, facts=facts, private=private)


def suspend_link(tx: sa.Connection, link: Link, *, now: datetime) -> bool:
    """False, and nothing is changed, where it was ended, replaced or suspended since it was read."""
    live = sa.and_(_same(link), links.c.address == link.address, links.c.suspended_at.is_(None))
    return bool(tx.execute(links.update().where(live).values(suspended_at=now)).rowcount)


def came_back(connection: sa.Connection, desk: str, account: str, *, since: datetime) -> Link | None:
    """The live link of this account whose user signed in, or was linked, at or after `since`."""
    kept = sa.and_(token_caches.c.tid == links.c.tid, token_caches.c.oid == links.c.oid, token_caches.c.sealed != b"")
    live = sa.and_(links.c.connection == desk, links.c.account == account, links.c.suspended_at.is_(None))
    late = sa.or_(links.c.made_at >= since, token_caches.c.signed_in_at >= since)
    row = connection.execute(sa.select(links).join(token_caches, kept).where(live, late)).first()
    return None if row is None else Link(**row._mapping)


def _same(link: Link) -> sa.ColumnElement[bool]:
    return sa.and_(*(links.c[name] == getattr(link, name) for name in ("connection", "account", "tid", "oid")))


def answers(connection: sa.Connection, tid: str, oid: str, *, newer_than: datetime) -> dict[str, str]:
    """What the tenant told about this technician, by name."""
    rows = connection.execute(_ANSWERS, {"of_tid": tid, "of_oid": oid, "newer_than": newer_than})
    return {row.name: row.answer for row in rows}


def last_answer(connection: sa.Connection, tid: str, oid: str, name: str) -> str | None:
    """However old it is."""
    query = sa.select(tenant_answers.c.answer).where(answer_named(tid, oid, name))
    return connection.execute(query).scalar_one_or_none()


def keep_answer(tx: sa.Connection, tid: str, oid: str, name: str, text: str, *, now: datetime) -> None:
    """Two workers may bring the same answer in the same moment; the later one stays."""
    put(tx, tenant_answers, {"tid": tid, "oid": oid, "name": name}, {"answer": text, "read_at": now})


def forget_answers(tx: sa.Connection, tid: str, oid: str) -> None:
    """What the tenant told about this technician was wrong, or is no longer so: ask again."""
    tx.execute(tenant_answers.delete().where(tenant_answers.c.tid == tid, tenant_answers.c.oid == oid))


def forget_answer(tx: sa.Connection, tid: str, oid: str, name: str) -> None:
    """As `forget_answers`, of one answer."""
    tx.execute(tenant_answers.delete().where(answer_named(tid, oid, name)))


def answer_named(tid: str, oid: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(tenant_answers.c.tid == tid, tenant_answers.c.oid == oid, tenant_answers.c.name == name)


class TokenRows:
    """The token store that `integration.entra` asks for: lease first, read again, save by compare-and-set.

    A row without a sealed sign-in is what a deletion leaves: the version to count on from.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    def read(self, tid: str, oid: str) -> TokenRow | None:
        with self._records.read() as connection:
            row = connection.execute(_CACHE, {"of_tid": tid, "of_oid": oid}).first()
        if row is None or not row.sealed:
            return None
        lost = None if row.lost_at is None else row.lost_why
        return TokenRow(row.sealed, row.version, row.home_account_id, row.answered, lost)

    def version(self, tid: str, oid: str) -> int:
        with self._records.read() as connection:
            row = connection.execute(_CACHE, {"of_tid": tid, "of_oid": oid}).first()
        return 0 if row is None else int(row.version)

    def lease(self, tid: str, oid: str, *, holder: str, until: datetime, now: datetime) -> bool:
        free = sa.or_(token_caches.c.lease_until.is_(None), token_caches.c.lease_until <= now)
        return self._update(
            sa.and_(_of(tid, oid), token_caches.c.sealed != b"", free), lease_holder=holder, lease_until=until
        )

    def save(self, tid: str, oid: str, row: TokenRow, *, holder: str, now: datetime) -> bool:
        seen = sa.and_(token_caches.c.version == row.version - 1, token_caches.c.lease_holder == holder)
        new = {"sealed": row.ciphertext, "version": row.version, "answered": row.answered, "renewed_at": now}
        return self._update(sa.and_(_of(tid, oid), seen), **new)

    def release(self, tid: str, oid: str, *, holder: str) -> None:
        mine = sa.and_(_of(tid, oid), token_caches.c.lease_holder == holder)
        self._update(mine, lease_holder=None, lease_until=None)

    def lost(self, tid: str, oid: str, *, holder: str, loss: Loss, why: str, now: datetime) -> None:
        with self._records.write() as tx:
            signins.lose(tx, tid, oid, holder=holder, loss=loss, why=why, now=now)

    def put(self, tid: str, oid: str, row: TokenRow, *, now: datetime) -> bool:
        values = {
            "sealed": row.ciphertext,
            "version": row.version,
            "home_account_id": row.home_account_id,
            "answered": row.answered,
            "signed_in_at": now,
            "renewed_at": now,
            "lease_holder": None,
            "lease_until": None,
            "lost_at": None,
            "lost_why": None,
        }
        if row.version > 1:
            return self._update(sa.and_(_of(tid, oid), token_caches.c.version == row.version - 1), **values)
        try:
            with self._records.write() as tx:
                tx.execute(token_caches.insert().values(tid=tid, oid=oid, **values))
        except sa.exc.IntegrityError:
            return False
        return True

    def delete(self, tid: str, oid: str, *, now: datetime) -> None:
        with self._records.write() as tx:
            signins.forget(tx, tid, oid, now=now)

    def _update(self, where: sa.ColumnElement[bool], **values: object) -> bool:
        with self._records.write() as tx:
            return bool(tx.execute(token_caches.update().where(where).values(values)).rowcount)


def _of(tid: str, oid: str) -> sa.ColumnElement[bool]:
    return sa.and_(token_caches.c.tid == tid, token_caches.c.oid == oid)
