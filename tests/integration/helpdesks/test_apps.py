"""The apps for helpdesks: what each vendor asks of their files, that all are packed, and that a wheel brings them."""

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.apps import app
from integration.helpdesks import apps
from tests.conftest import ROOT

OURS = "https://elevate.example.org"
URL = "https://roles.example.net"
FILES = {
    "zendesk": {
        "README.md",
        "manifest.json",
        "assets/logo.png",
        "assets/logo-small.png",
        "translations/de.json",
        "translations/en.json",
    },
    "freshservice": {
        "README.md",
        "manifest.json",
        "app/index.html",
        "app/scripts/app.js",
        "app/styles/style.css",
        "app/styles/images/icon.svg",
        "config/iparams.json",
    },
    "servicenow": {
        "README.md",
        "now.config.json",
        "package.json",
        "src/fluent/column.now.ts",
        "src/fluent/flow.now.ts",
        "src/fluent/generated/keys.ts",
        "src/fluent/properties.now.ts",
        "src/fluent/rules.now.ts",
        "src/scripts/elevate_button.js",
        "src/scripts/flow_tell.js",
        "src/scripts/pick_first.js",
        "src/scripts/pick_last.js",
        "src/scripts/tell.js",
        "src/scripts/ticket_elevate_call.js",
    },
}
SIZES = {"assets/logo.png": 320, "assets/logo-small.png": 128}  # pixels that Zendesk asks for


def opened(kind: str, **given: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(apps.pack(kind, **{"url": URL, "connection": "second_desk", **given})))


def read(kind: str, name: str) -> Any:
    return json.loads(opened(kind).read(name))


def test_there_is_an_app_for_each_helpdesk_that_shows_one() -> None:
    assert apps.kinds() == ["freshservice", "servicenow", "zendesk"]
    with pytest.raises(apps.NoApp, match="freshservice, servicenow, zendesk"):
        apps.pack("zammad", url=URL, connection="zammad")


@pytest.mark.parametrize("kind", apps.kinds())
def test_every_file_of_the_source_is_packed_and_the_same_each_time(kind: str) -> None:
    assert set(opened(kind).namelist()) == FILES[kind]
    first, again = (apps.pack(kind, url=URL, connection="x") for _ in range(2))
    assert first == again


@pytest.mark.parametrize("kind", apps.kinds())
def test_the_example_address_is_left_nowhere_but_in_words(kind: str) -> None:
    archive = opened(kind)
    for name in archive.namelist():
        if name.endswith((".json", ".js", ".ts", ".html")):
            text = archive.read(name).decode()
            assert not re.search(rf"""(url"|default_value"|value): ["']{OURS}""", text), name


def test_zendesk_loads_our_page_with_a_signature() -> None:
    """Source: developer.zendesk.com, "Manifest reference", and "Building a server-side app", parts 1 and 5."""
    manifest = read("zendesk", "manifest.json")
    assert manifest["location"]["support"]["ticket_sidebar"]["url"] == f"{URL}/embed/second_desk"
    assert manifest["signedUrls"] is True
    assert manifest["frameworkVersion"] == "2.0"
    assert manifest["private"] is True  # a public one is listed for everybody, and cannot have one desk's address
    assert {"name", "email", "url"} == set(manifest["author"])
    languages = {f"translations/{language}.json" for language in ("en", "de")}
    assert f"translations/{manifest['defaultLocale']}.json" in languages <= set(opened("zendesk").namelist())
    for name in languages:
        words = read("zendesk", name)["app"]
        assert set(words) == {"name", "short_description", "long_description", "installation_instructions"}


@pytest.mark.parametrize(("name", "pixels"), SIZES.items())
def test_zendesks_pictures_have_their_sizes(name: str, pixels: int) -> None:
    picture = opened("zendesk").read(name)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(picture[at : at + 4], "big") for at in (16, 20)] == [pixels, pixels]


def test_freshservice_shows_a_page_of_the_app_beside_a_ticket() -> None:
    """Source: developers.freshworks.com, "Declaring App Manifest", platform 3.0."""
    archive, manifest = opened("freshservice"), read("freshservice", "manifest.json")
    assert manifest["platform-version"] == "3.0"
    assert set(manifest["engines"]) == {"node", "fdk"}
    place = manifest["modules"]["service_ticket"]["location"]["ticket_sidebar"]
    assert {f"app/{place['url']}", f"app/{place['icon']}"} <= set(archive.namelist())
    page = archive.read(f"app/{place['url']}").decode()
    assert '<script src="{{{appclient}}}"></script>' in page
    for file in re.findall(r'(?:src|href)="((?:scripts|styles)/[^"]+)"', page):
        assert f"app/{file}" in archive.namelist()
    entered = read("freshservice", "config/iparams.json")
    assert {name: it["default_value"] for name, it in entered.items()} == {"url": URL, "connection": "second_desk"}
    assert all(
        set(it) == {"display_name", "description", "type", "required", "default_value"} for it in entered.values()
    )


def test_the_command_writes_the_file_and_says_where(tmp_path: Path) -> None:
    given = ["zendesk", "--url", f"{URL}/", "--connection", "desk-2", "--to", str(tmp_path)]
    told = CliRunner().invoke(app, given)
    assert told.exit_code == 0, told.output
    made = tmp_path / "zendesk_app.zip"
    assert told.output.strip() == str(made)
    assert made.read_bytes() == apps.pack("zendesk", url=URL, connection="desk-2")


@pytest.fixture
def settings_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def write(helpdesks: str) -> None:
        entra = '[entra]\ntenant_id = "1"\nclient_id = "2"\nclient_secret = "3"\n'
        path = tmp_path / "settings.toml"
        path.write_text(f'public_url = "{OURS}"\n{entra}{helpdesks}')
        monkeypatch.setenv("TICKET_ELEVATE_SETTINGS", str(path))

    return write


def pack(tmp_path: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["zendesk", "--to", str(tmp_path), *options])


def test_an_app_is_packed_for_a_connection_of_the_settings(
    settings_with: Callable[[str], None], tmp_path: Path
) -> None:
    settings_with('[helpdesks.main_desk]\nkind = "zendesk"\n[helpdesks.rt]\nkind = "request_tracker"\n')

    assert pack(tmp_path, "--connection", "main_desk").exit_code == 0

    made = (tmp_path / "zendesk_app.zip").read_bytes()
    assert made == apps.pack("zendesk", url=OURS, connection="main_desk")


@pytest.mark.parametrize("options", [(), ("--connection", "nosuch"), ("--connection", "rt")])
def test_no_app_is_packed_for_another(
    settings_with: Callable[[str], None], tmp_path: Path, options: tuple[str, ...]
) -> None:
    settings_with('[helpdesks.main_desk]\nkind = "zendesk"\n[helpdesks.rt]\nkind = "request_tracker"\n')

    told = pack(tmp_path, *options)

    assert told.exit_code == 1
    assert "There are: main_desk." in told.output
    assert not (tmp_path / "zendesk_app.zip").exists()


def test_without_any_connection_of_the_kind_that_is_said(settings_with: Callable[[str], None], tmp_path: Path) -> None:
    settings_with("")

    told = pack(tmp_path)

    assert told.exit_code == 1
    assert "no connection zendesk of the kind zendesk. There is none." in told.output


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/x",
        "https://evil.example/x?y",
        "https://evil.example#z",
        "https://a@evil.example",
        "https://e.example/ x",
        "x",
        "",
    ],
)
def test_an_address_that_cannot_be_ours_is_refused(tmp_path: Path, url: str) -> None:
    told = pack(tmp_path, "--url", url)

    assert told.exit_code == 1
    assert told.output.startswith("Error: --url must ")
    assert not (tmp_path / "zendesk_app.zip").exists()


def test_a_file_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "zendesk_app.zip").mkdir()

    told = pack(tmp_path, "--url", URL)

    assert told.exit_code == 1
    assert told.output.startswith(f"Error: Cannot write {tmp_path}/zendesk_app.zip")


def test_a_file_that_was_there_is_not_replaced_without_a_word(tmp_path: Path) -> None:
    assert "that was there" not in pack(tmp_path, "--url", URL).output
    assert "In place of the one that was there" in pack(tmp_path, "--url", URL).output


def test_a_wheel_brings_the_source_of_the_apps(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    brought = set(zipfile.ZipFile(wheel).namelist())
    for kind in apps.kinds():
        for name in opened(kind).namelist():
            assert f"integration/helpdesks/{kind}_app/{name}" in brought
    for name in ("embed.js", "handover.js", "zendesk.js"):
        assert f"webhooks/static/{name}" in brought
