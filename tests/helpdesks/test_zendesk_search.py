"""Zendesk's search gives a thousand results and no more: what that means for who asks it what changed."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests

from integration.helpdesks import connect
from integration.tickets import TellsChanges
from tests.helpdesks.doubles import Double, of_vendor
from workers.polls import where_to


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with of_vendor("zendesk").started(tmp_path_factory.mktemp("zendesk")) as make:
        yield make()


def found(bench: Double, **query: str) -> requests.Response:
    url = bench.settings["url"]
    client = {name: bench.settings[name] for name in ("client_id", "client_secret")}
    given = requests.post(f"{url}/oauth/tokens", json={"grant_type": "client_credentials", **client}, timeout=10)
    headers = {"Authorization": f"Bearer {given.json()['access_token']}"}
    return requests.get(f"{url}/api/v2/search", params=query, headers=headers, timeout=10)


def test_who_polls_gets_past_more_than_a_thousand_tickets_of_one_second(bench: Double) -> None:
    """Asked as workers.polls does: what changed after them is found, and so is the first thousand of them."""
    desk = connect("desk", bench.settings)
    assert isinstance(desk, TellsChanges)
    since, page = bench.now(), 1
    bench.later()
    together = set(bench.changed_together(1_050))
    bench.later()
    after = bench.new_ticket()
    bench.assign(after, bench.technician, by=bench.technician)
    bench.later()

    told: set[str] = set()
    for _ in range(30):
        changes = desk.changed_since(since, page=page, now=bench.now())
        told |= {it.number for it in changes.tickets}
        since, page = where_to(changes, since, page, now=bench.now())
        if not changes.more:
            break
    assert after in told
    assert len(told & together) == 1_000
    assert since > bench.now() - timedelta(minutes=10)


def test_the_double_refuses_what_zendesk_refuses(bench: Double) -> None:
    query = "type:ticket updated>=2020-01-01T00:00:00+00:00"
    assert found(bench, query=query, per_page="100", page="10").status_code == 200
    beyond = found(bench, query=query, per_page="100", page="11")
    assert (beyond.status_code, "Search Response Limits" in beyond.json()["description"]) == (422, True)
    blank = found(bench, query=query.replace("+", " "))
    assert (blank.status_code, "Illegal value" in blank.json()["description"]) == (422, True)
    assert found(bench, query=query, **{"page[size]": "2"}).status_code == 400


def test_the_double_finds_nothing_that_changed_just_now(bench: Double) -> None:
    query = f"type:ticket updated>={bench.now().replace(microsecond=0).isoformat()}"
    number = bench.new_ticket()
    assert number not in [str(it["id"]) for it in found(bench, query=query).json()["results"]]
    bench.later()
    (row,) = (it for it in found(bench, query=query).json()["results"] if str(it["id"]) == number)
    assert row["result_type"] == "ticket"
