"""Whoever knows only the first page finds every page that is theirs, by links alone."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask

from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser
from tests.webhooks.test_doors import MATRIX
from tests.workers.steps import pick

Opened = Callable[..., Browser]
ROLES = {"technician": 1, "auditor": 4, "administrator": 5}  # the column of each in the matrix of doors
# Pages that stand behind a ticket, a note or a button and not behind a menu, and what is no page.
ELSEWHERE = {
    "/elevate/<connection>/<ticket>",
    "/link/<connection>/<ticket>",
    "/embed/<connection>/<ticket>",  # stands within the helpdesk's page
    "/elevations/<elevation_id>/status",
    "/now/status",
    "/roles/status",
    "/earlier",  # there is a link as soon as there is something earlier
    "/sign-in/callback",
    "/healthz",
    "/readyz",
    "/metrics",
    "/static/<path:filename>",
    "/bootstrap/static/<path:filename>",
}


def walk(page: Browser, app: Flask) -> set[str]:
    """The rules of all pages that links lead to from the first one."""
    adapter, found, seen, waiting = app.url_map.bind(""), set(), set(), ["/"]
    while waiting:
        address = waiting.pop()
        path = address.partition("?")[0]
        rule = str(adapter.match(path, return_rule=True)[0].rule)
        # One page of each kind is enough; a filter in an address may lead to others.
        if (rule, "?" in address) in seen:
            continue
        seen.add((rule, "?" in address))
        found.add(rule)
        answer = page.get(address, follow_redirects=True)
        assert answer.status_code == 200, address
        waiting += [unescape(link) for link in re.findall(r'href="(/[^"#]*)"', answer.text) if "/static/" not in link]
    return found


@pytest.mark.parametrize("who", ROLES)
def test_every_page_of_theirs(browser: Opened, app: Flask, desk: Desk, practice: Practice, who: str) -> None:
    desk.link()
    pick(desk, practice)
    found = walk(browser(who), app)
    mine = {
        path
        for (method, path), answers in MATRIX.items()
        if method == "GET" and answers[ROLES[who]] in (200, 202) and path not in ELSEWHERE
    }
    assert mine - found == set()
