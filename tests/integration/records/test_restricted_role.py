"""The PostgreSQL role of docs/administrators.md, with the very SQL that stands there, on a real server.

Contract: the product does its work with it, and the journal cannot be changed with it even where triggers are off.
"""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from integration import checkpoints, verify
from integration.deployment import Deployment
from integration.elevation import State
from integration.records import erasure, journal
from integration.records.store import Records
from tests.conftest import ROOT, Desk, Practice, settings_for

ROLE = "elevate_app"


@pytest.fixture
def owner(postgres_url: str) -> Iterator[Records]:
    server = sa.make_url(postgres_url).set(drivername="postgresql+psycopg")
    name = f"t{time.time_ns()}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        connection.exec_driver_sql(f"DROP ROLE IF EXISTS {ROLE}")
    records = Records(server.set(database=name).render_as_string(hide_password=False))
    records.migrate()
    page = (ROOT / "docs" / "administrators.md").read_text(encoding="utf-8")
    documented = re.search(r"```sql\n(.*?)```", page, re.S)
    assert documented is not None
    with records.write() as tx:
        connection = tx.connection.driver_connection
        assert connection is not None
        connection.execute(documented[1])  # all of it at once, as psql would
    yield records
    with records.write() as tx:
        tx.exec_driver_sql(f"DROP OWNED BY {ROLE}")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP ROLE {ROLE}")
    engine.dispose()
    records.dispose()


@pytest.fixture
def desk(owner: Records, practice: Practice, tmp_path: Path) -> Iterator[Desk]:
    url = sa.make_url(owner.url).set(username=ROLE).render_as_string(hide_password=False)
    deployment = Deployment(settings_for(practice, url, tmp_path))
    yield Desk(deployment, practice)
    deployment.records.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET kind = 'pick.refused'",
        "DELETE FROM journal",
        "TRUNCATE journal",
        "ALTER TABLE journal DISABLE TRIGGER ALL",
        "DROP TABLE journal",
        "UPDATE journal_private SET value = ''",
        "DELETE FROM journal_private",
        "TRUNCATE journal_private",
        "DELETE FROM journal_checkpoints",
        "UPDATE journal_checkpoints SET note = ''",
        "UPDATE alembic_version SET version_num = '0001'",
        "CREATE TABLE mine (x int)",
        "SET session_replication_role = replica",
    ],
)
def test_the_role_cannot_change_the_journal(desk: Desk, statement: str) -> None:
    """Threat 43, as the app role; the triggers, which stop the owner too, are another test's."""
    with (
        pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"),
        desk.deployment.records.write() as tx,
    ):
        tx.exec_driver_sql(statement)


def test_the_product_does_its_work_with_the_role(desk: Desk, practice: Practice, owner: Records) -> None:
    desk.link()
    ticket = practice.new_ticket()
    practice.assign(ticket)
    desk.deliver(ticket)
    desk.advance(timedelta(minutes=6))
    practice.solve(ticket)
    desk.deliver(ticket)
    desk.sweep()
    checkpoints.keep(desk.deployment, now=desk.now())

    assert desk.only(ticket).state is State.ENDED
    with desk.deployment.records.read() as connection:
        lines = list(journal.export(connection))
        assert checkpoints.checkpoints.unstored(connection) == 0
    assert verify.verify(lines, verify.read_comments("\n".join(practice.notes(ticket)))).ok

    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), desk.deployment.records.write() as tx:
        erasure.of_elevation(tx, desk.only(ticket).id, now=desk.now())
    with owner.write() as tx:
        assert erasure.of_elevation(tx, desk.only(ticket).id, now=desk.now()).values
