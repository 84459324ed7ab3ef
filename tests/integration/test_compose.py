"""docker-compose.yml runs what `ticket-elevate run` runs, with settings that exist. No Docker is needed to see that."""

import importlib.util
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from cli.run import programs
from integration import helpdesks, settings
from tests.integration import compose_file

ROOT = Path(__file__).parents[2]
PRODUCT = ("init", "web", "worker", "beat")
PREFIX = "TICKET_ELEVATE_"
# What .env and secrets/ hold, as docs/administrators.md shows it.
DOT_ENV = {
    "PUBLIC_URL": "https://elevate.example.com",
    "POSTGRES_PASSWORD": "5f",
    "REDIS_PASSWORD": "7a",
    "TENANT_ID": "11111111-2222-3333-4444-555555555555",
    "CLIENT_ID": "66666666-7777-8888-9999-000000000000",
}


def filled(text):
    """`text` as Compose fills it in: ${NAME:?what is wrong if it is missing}."""
    return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: DOT_ENV[found[1]], text)


def words(service):
    command = service["command"]
    return command if isinstance(command, list) else shlex.split(command)


def documented_settings():
    page = (ROOT / "docs" / "administrators.md").read_text(encoding="utf-8")
    return re.search(r"# secrets/settings.toml\n(.*?)```", page, re.S)[1]


@pytest.mark.parametrize("name", PRODUCT)
def test_every_variable_of_a_service_is_a_setting(compose, name):
    known = {settings.SETTINGS_VARIABLE, *(PREFIX + field.upper() for field in settings.Settings.model_fields)}
    known |= {f"{PREFIX}ENTRA__{field.upper()}" for field in settings.Entra.model_fields}

    assert set(compose["services"][name]["environment"]) - known == set()


def test_the_settings_of_the_compose_file_and_of_the_docs_are_usable(in_force):
    assert in_force.database_url == "postgresql+psycopg://elevate:5f@postgres/elevate"
    assert in_force.redis_url == "redis://:7a@redis:6379/0"
    assert in_force.redirect_uri == "https://elevate.example.com/sign-in/callback"
    assert str(in_force.entra.certificate_file) == "/run/secrets/entra_certificate"
    assert [helpdesks.connect(name, table).connection for name, table in in_force.helpdesks.items()] == ["desk"]


def test_the_commands_are_those_of_run(compose, in_force):
    expected = {name: shlex.split(line) for name, line in programs(in_force, in_force.data_dir).items()}

    found = {name: words(compose["services"][name]) for name in expected}

    assert {name: [sys.executable, *line[1:]] for name, line in found.items()} == expected
    assert {line[0] for line in found.values()} == {"python"}


@pytest.mark.parametrize("name", PRODUCT)
def test_what_a_command_names_is_there(compose, name):
    program, *rest = words(compose["services"][name])

    assert shutil.which(program, path=str(Path(sys.executable).parent))
    modules = [rest[i + 1] for i, word in enumerate(rest) if word in ("-m", "-A")]
    modules += [word.partition(":")[0] for word in rest if word.endswith("()")]
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


def test_init_is_a_command_of_ours(compose):
    from cli.main import commands

    assert words(compose["services"]["init"])[1] in commands.commands


def test_everything_waits_for_the_tables_and_the_keys(compose):
    services = compose["services"]

    assert services["init"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("web", "worker", "beat"):
        assert services[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"init"}


def test_secrets_and_volumes_that_are_used_are_declared(compose):
    for service in compose["services"].values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert named <= set(compose["volumes"])


def test_only_init_can_write_the_keys(compose):
    mounts = {name: compose["services"][name]["volumes"] for name in PRODUCT}

    assert "keys:/keys" in mounts.pop("init")
    assert all("keys:/keys:ro" in volumes for volumes in mounts.values())


def test_the_key_that_signs_checkpoints_is_not_where_pages_are_served(compose):
    """Threat 40."""
    mounts = {name: compose["services"][name]["volumes"] for name in PRODUCT}

    assert {name for name, volumes in mounts.items() if any("/signing" in it for it in volumes)} == {"init", "worker"}
    assert "signing:/signing:ro" in mounts["worker"]


def test_no_secret_is_written_in_the_file(compose):
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if "PASSWORD" in name or name == "REDISCLI_AUTH":
                assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", value)


def test_the_image_runs_as_nobody_in_particular_from_the_locked_list():
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    assert "--require-hashes --only-binary :all: -r requirements.lock" in image
    assert re.findall(r"^USER (.*)$", image, re.M) == ["10001"]
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", image, re.M):
        assert all((ROOT / name).exists() for name in copied.split())


@pytest.mark.parametrize("text", ["a: *b", "a: {b: c}", "- a: b", "a: b # c", "a: |\n  b", "a: b\na: c", "a b"])
def test_a_compose_file_that_the_tests_cannot_read_is_not_read_in_part(text):
    with pytest.raises(ValueError, match="not|twice"):
        compose_file.read(text)


@pytest.fixture
def compose():
    return compose_file.read((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture
def in_force(compose, tmp_path, monkeypatch):
    """The settings that a service of the compose file has, with the settings.toml that the docs show."""
    for name, value in compose["services"]["web"]["environment"].items():
        monkeypatch.setenv(name, filled(value))
    path = tmp_path / "settings.toml"
    path.write_text(documented_settings(), encoding="utf-8")
    monkeypatch.setenv(settings.SETTINGS_VARIABLE, str(path))
    return settings.load()
