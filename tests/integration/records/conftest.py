"""What the tests of the records share."""

from collections.abc import Iterator

import pytest

from integration.records.store import Records


@pytest.fixture
def records(database_url: str) -> Iterator[Records]:
    made = Records(database_url)
    made.migrate()
    yield made
    made.dispose()
