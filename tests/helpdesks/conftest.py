"""Whom the contract suite is held against: every bench of ours, or with `--adapter package:Name` somebody else's.

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
    pytest.param(
        "tests.helpdesks.request_tracker_bench:RequestTrackerBench",
        marks=[pytest.mark.request_tracker, pytest.mark.timeout(900)],
        id="request_tracker",
    ),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--adapter", help="package:Name of a tests.helpdesks.bench.Bench")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--adapter`, what is no question to an adapter is left out: it would only tell of ours."""
    if config.getoption("--adapter", None):
        out = [it for it in items if "running" not in getattr(it, "fixturenames", ())]
        items[:] = [it for it in items if it not in out]
        config.hook.pytest_deselected(items=out)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "running" in metafunc.fixturenames:
        given = metafunc.config.getoption("--adapter", None)
        metafunc.parametrize("running", [given] if given else BENCHES, indirect=True, scope="session")


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Bench]]:
    """What makes a fresh bench."""
    given = of_vendor(request.param) if request.param in KINDS else named(request.param)
    if not hasattr(given, "started"):
        yield given
        return
    with given.started(tmp_path_factory.mktemp("desk")) as make:
        yield make


def named(text: str) -> Any:
    """The class that `--adapter` names. Whatever is wrong with it ends the run, with a sentence."""
    package, _, name = text.partition(":")
    try:
        return getattr(import_module(package), name)
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        pytest.exit(f"--adapter {text}: write package:Name, with the package on PYTHONPATH. {error}", returncode=4)


@pytest.fixture
def bench(running: Callable[[], Bench]) -> Bench:
    made = running()
    asked = {name for name in vars(Bench) if not name.startswith("_")} | set(Bench.__annotations__)
    if lacking := sorted(name for name in asked if not hasattr(made, name)):
        pytest.exit(f"The bench lacks {', '.join(lacking)}: tests/helpdesks/bench.py says what each is.", returncode=4)
    secrets = made.settings.get("secrets")
    if "url" not in made.settings or not isinstance(secrets, dict) or len(secrets) != 1:
        pytest.exit("The bench's settings must have url, and a table secrets with one secret in it.", returncode=4)
    return made


@pytest.fixture
def helpdesk(bench: Bench) -> Helpdesk:
    return connect("desk", bench.settings)
