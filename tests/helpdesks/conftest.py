"""Whom the contract suite is held against: every double of ours, or with `--adapter package:Name` somebody's bench.

That is a class without arguments, or one with `started(folder)`: a context manager that gives a maker of benches.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from integration.helpdesks import connect
from integration.tickets import Helpdesk
from tests.helpdesks.bench import Bench
from tests.helpdesks.doubles import of_vendor

KINDS = ("freshservice", "jira", "servicenow", "teamdynamix", "zammad", "zendesk")
BENCHES = (
    *KINDS,
    pytest.param("tests.helpdesks.doubles:Generic", id="generic"),
    pytest.param("tests.helpdesks.django_desk.bench:DjangoDesk", marks=pytest.mark.stories, id="django_desk"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--adapter", help="package:Name of a tests.helpdesks.bench.Bench")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "running" in metafunc.fixturenames:
        given = metafunc.config.getoption("--adapter", None)
        metafunc.parametrize("running", [given] if given else BENCHES, indirect=True, scope="session")


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Bench]]:
    """What makes a fresh bench."""
    package, _, name = request.param.partition(":")
    given: Any = getattr(import_module(package), name) if name else of_vendor(request.param)
    if not hasattr(given, "started"):
        yield given
        return
    with given.started(tmp_path_factory.mktemp("desk")) as make:
        yield make


@pytest.fixture
def bench(running: Callable[[], Bench]) -> Bench:
    return running()


@pytest.fixture
def helpdesk(bench: Bench) -> Helpdesk:
    return connect("desk", bench.settings)
