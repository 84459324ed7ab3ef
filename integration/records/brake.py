"""The brakes that all processes share: see integration/brake.py."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from integration.brake import Held
from integration.records.store import Records
from integration.records.tables import brakes

_READ = sa.select(brakes.c.until, brakes.c.probe_until).where(brakes.c.name == sa.bindparam("of_name"))


class BrakeRows:
    """The store that `integration.brake` asks for."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def read(self, name: str) -> Held | None:
        with self._records.read() as connection:
            row = connection.execute(_READ, {"of_name": name}).first()
        return None if row is None else Held(row.until, row.probe_until)

    def hold(self, name: str, until: datetime) -> None:
        with self._records.write() as tx:
            insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
            statement = insert(brakes).values(name=name, until=until, probe_until=None)
            new = statement.excluded.until
            later = sa.case((new > brakes.c.until, new), else_=brakes.c.until)
            tx.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_={"until": later, "probe_until": None})
            )

    def probe(self, name: str, *, now: datetime, until: datetime) -> bool:
        free = sa.or_(brakes.c.probe_until.is_(None), brakes.c.probe_until <= now)
        over = sa.and_(brakes.c.name == name, brakes.c.until <= now, free)
        with self._records.write() as tx:
            return bool(tx.execute(brakes.update().where(over).values(probe_until=until)).rowcount)

    def lift(self, name: str, *, until: datetime) -> None:
        with self._records.write() as tx:
            tx.execute(brakes.delete().where(brakes.c.name == name, brakes.c.until == until))
