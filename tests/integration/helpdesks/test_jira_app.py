"""The app that shows our panel in Jira: that its manifest is what Forge takes, and its panel asks what we answer.

Source: developer.atlassian.com/platform/forge: "Jira issue panel", "Jira issue context", "Endpoint", "Remotes",
"invokeRemote". Atlassian's own checker is `forge lint`, which needs an account there.
"""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

import integration.helpdesks
from integration.helpdesks.jira_settings import JiraSettings
from webhooks.panels import Action, Said
from webhooks.problems import problem

APP = Path(integration.helpdesks.__file__).parent / "jira_app"
MANIFEST: dict[str, Any] = yaml.safe_load((APP / "manifest.yml").read_text())
PANEL = (APP / "src" / "panel.jsx").read_text()


@pytest.mark.parametrize("module", ["jira:issuePanel", "jira:issueContext"])
def test_each_place_on_an_issue_shows_the_panel_and_calls_us(module: str) -> None:
    (place,) = MANIFEST["modules"][module]
    (endpoint,) = MANIFEST["modules"]["endpoint"]
    (remote,) = MANIFEST["remotes"]
    (resource,) = MANIFEST["resources"]
    assert place["render"] == "native"
    assert place["title"]
    assert place["icon" if module == "jira:issuePanel" else "label"]
    assert place["resource"] == resource["key"]
    assert place["resolver"] == {"endpoint": endpoint["key"]}
    assert endpoint["remote"] == remote["key"]
    assert (APP / resource["path"]).is_file()
    assert "compute" in remote["operations"]  # without it Forge lets nothing through
    assert remote["baseUrl"].startswith("https://")
    for key in (place["key"], endpoint["key"], remote["key"], resource["key"]):
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,23}", key), key


def test_the_app_asks_for_no_right_and_no_token() -> None:
    assert "permissions" not in MANIFEST
    assert "auth" not in MANIFEST["modules"]["endpoint"][0]
    assert "auth" not in MANIFEST["remotes"][0]


def test_the_id_of_an_app_is_one_that_our_settings_take() -> None:
    pattern = next(it.pattern for it in JiraSettings.model_fields["panel_app"].metadata if hasattr(it, "pattern"))
    assert re.fullmatch(pattern, MANIFEST["app"]["id"])


def test_the_panel_calls_the_address_that_we_answer() -> None:
    (connection,) = re.findall(r'CONNECTION = "([\w-]+)"', (APP / "src" / "connection.js").read_text())
    (path,) = re.findall(r"path: `([^`]+)`", PANEL)
    assert path.replace("${CONNECTION}", connection) == "/panels/jira"


def test_the_panel_reads_what_we_answer_and_asks_what_we_take() -> None:
    read = set(re.findall(r"\b(?:said|told)\??\.(\w+)", PANEL))
    assert read == {field.name for field in fields(Said)}
    assert set(re.findall(r'call\("(\w+)"\)', PANEL)) == set(Action)
    assert re.search(r"asked = \{ action, ticket: issue, shown, follows: elevation \}", PANEL)


def test_a_refusal_is_not_shown_as_an_answer() -> None:
    """It is a problem document with a title of its own; drawing it would break the panel for good."""
    (taken,) = re.findall(r"answer\?\.body\?\.(\w+) \? answer\.body : AWAY", PANEL)
    assert taken in {field.name for field in fields(Said)}
    with Flask(__name__).test_request_context():
        document = problem(401, "No.").get_json()
    assert document["title"]
    assert taken not in document


def test_what_the_panel_imports_is_among_its_packages() -> None:
    packages = json.loads((APP / "package.json").read_text())["dependencies"]
    imported = set(re.findall(r'from "([^."][^"]*)"', PANEL))
    assert imported <= set(packages)


def test_the_docs_name_each_file_that_is_changed_by_hand() -> None:
    steps = (APP / "README.md").read_text()
    for name in ("manifest.yml", "src/connection.js", "baseUrl", "panel_app", "cloud_id"):
        assert f"`{name}`" in steps, name
