"""Internal addresses. Contract: nothing is sent to one unless the connection's settings say that it is meant, however
the address is written and whatever name leads there.
"""

import pytest

from integration.helpdesks.http import AddressInternal, Door
from integration.helpdesks.inside import is_internal, reaching
from tests.integration.helpdesks.conftest import TOKEN

# The system's resolver reads them, and no look at what is written does: they stand for a name that leads there.
DISGUISED = ["127.1", "2130706433", "0x7f.1", "0177.0.0.1"]


def door_to(helpdesk, host: str, *, allowed: bool) -> Door:
    url = helpdesk.url.replace("127.0.0.1", host)
    with reaching(url, allowed=allowed):
        return Door("desk", url, headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.parametrize("host", DISGUISED)
def test_a_name_that_leads_inside_is_not_called(helpdesk, host):
    door = door_to(helpdesk, host, allowed=False)

    for call in (lambda: door.call("GET", "/x"), lambda: door.call("POST", "/x", json={}), door.knock):
        with pytest.raises(AddressInternal, match="internal = true"):
            call()
    assert helpdesk.calls == []
    assert not AddressInternal.try_again


@pytest.mark.parametrize("host", DISGUISED)
def test_it_is_called_where_that_is_meant(helpdesk, host):
    helpdesk.answer("/x", 200, {"id": 1})

    assert door_to(helpdesk, host, allowed=True).call("GET", "/x") == {"id": 1}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_our_own_machine_needs_no_word(helpdesk, host):
    helpdesk.answer("/x", 200, {"id": 1})

    assert door_to(helpdesk, host, allowed=False).call("GET", "/x") == {"id": 1}


def test_what_one_connection_may_reach_says_nothing_about_the_next(helpdesk):
    door_to(helpdesk, "127.1", allowed=True)

    with pytest.raises(AddressInternal):
        door_to(helpdesk, "127.1", allowed=False).knock()


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111", "helpdesk.example.com", "localhost.example.com", ""])
def test_the_internet_and_names_are_not_internal_as_written(host):
    assert not is_internal(host)
