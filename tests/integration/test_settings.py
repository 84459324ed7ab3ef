"""Settings are checked at start, and the sentence says what to write instead. No value of a secret is ever in it."""

from pathlib import Path
from typing import Any

import pytest

from integration import helpdesks, settings
from integration.settings import SETTINGS_VARIABLE, SettingsInvalid

WEBHOOK_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"


AUTHORITY = 'authority = "https://login.microsoftonline.com/11111111-aaaa-4bbb-8ccc-000000000000"'


def write(directory: Path, *, entra: str = "", more: str = "", helpdesk: str = "", authority: str = AUTHORITY) -> Path:
    path = directory / "settings.toml"
    text = f"""
public_url = "https://elevate.example.com"
{more}
[entra]
{authority}
tenant_id = "11111111-aaaa-4bbb-8ccc-000000000000"
client_id = "11111111-aaaa-4bbb-8ccc-00000000000c"
{entra or 'client_secret = "canary-client-secret"'}
[helpdesks.one]
url = "https://helpdesk.example.com"
service_account = "elevate-bot"
{helpdesk or f'token = "canary-token"{chr(10)}secrets = {{ first = "{WEBHOOK_SECRET}" }}'}
"""
    path.write_text(text)
    return path


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def load(**parts: str) -> settings.Settings:
        monkeypatch.setenv(SETTINGS_VARIABLE, str(write(tmp_path, **parts)))
        return settings.load()

    return load


def test_a_good_file_is_taken(loaded: Any) -> None:
    assert loaded().redirect_uri == "https://elevate.example.com/sign-in/callback"


def test_an_environment_variable_wins_over_the_file(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKET_ELEVATE_ENTRA__CLIENT_ID", "11111111-aaaa-4bbb-8ccc-00000000000d")
    assert loaded().entra.client_id.endswith("d")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"more": 'time_zone = "Mars/Base"'}, "not a time zone"),
        ({"more": 'public_urll = "x"'}, "public_urll"),
        ({"more": "web_processes = 0"}, "web_processes"),
        ({"entra": "graph_url = 'https://graph.microsoft.com'"}, "exactly one of"),
        ({"entra": 'client_secret = "canary-x"\ncertificate_file = "/x"'}, "exactly one of"),
        ({"entra": 'client_secret_file = "/nowhere/secret"'}, "/nowhere/secret"),
        ({"entra": 'client_secret = "canary-x"\nca_bundle = "/x"'}, "practice"),
    ],
)
def test_a_mistake_is_named(loaded: Any, parts: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsInvalid) as error:
        loaded(**parts)
    assert sentence in str(error.value)
    assert "canary" not in str(error.value)


def test_a_foreign_sign_in_host_is_refused(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat 56: nothing but the practice switch lets technicians sign in anywhere but at Microsoft."""
    monkeypatch.setenv("TICKET_ELEVATE_ENTRA__AUTHORITY", "https://login.example.net/x")
    with pytest.raises(SettingsInvalid, match=r"login\.example\.net"):
        loaded()


@pytest.mark.parametrize(
    ("cloud", "login", "graph", "arm"),
    [
        ("public", "login.microsoftonline.com", "graph.microsoft.com", "management.azure.com"),
        ("us_government", "login.microsoftonline.us", "graph.microsoft.us", "management.usgovcloudapi.net"),
        ("us_dod", "login.microsoftonline.us", "dod-graph.microsoft.us", "management.usgovcloudapi.net"),
        (
            "china",
            "login.partner.microsoftonline.cn",
            "microsoftgraph.chinacloudapi.cn",
            "management.chinacloudapi.cn",
        ),
    ],
)
def test_a_cloud_sets_every_host(loaded: Any, cloud: str, login: str, graph: str, arm: str) -> None:
    entra = loaded(authority="", entra=f'cloud = "{cloud}"\nclient_secret = "canary-x"').entra
    assert entra.connection.tenant_authority == f"https://{login}/{entra.tenant_id}"
    assert (entra.connection.graph_url, entra.connection.arm_url) == (f"https://{graph}", f"https://{arm}")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ('cloud = "moon"', "public"),
        ('cloud = "china"\nauthority = "https://login.microsoftonline.com/x"', "entra.authority is not on"),
        ('graph_url = "https://graph.microsoft.us"', "entra.graph_url is not on https://graph.microsoft.com"),
        ('graph_url = "http://graph.microsoft.com"', "entra.graph_url is not on"),
        ('arm_url = "https://management.azure.com.example.net"', "entra.arm_url is not on"),
    ],
)
def test_hosts_of_another_cloud_or_of_nobody_are_refused(loaded: Any, given: str, sentence: str) -> None:
    with pytest.raises(SettingsInvalid, match=sentence):
        loaded(authority="", entra=f'{given}\nclient_secret = "canary-x"')


def test_two_helpdesks_may_not_share_a_secret(loaded: Any) -> None:
    """Threat 5."""
    table = f"""token = "a"
secrets = {{ first = "{WEBHOOK_SECRET}" }}
[helpdesks.two]
secrets = {{ first = "{WEBHOOK_SECRET}" }}"""
    with pytest.raises(SettingsInvalid, match="share a webhook secret"):
        loaded(helpdesk=table)


def test_secrets_of_a_helpdesk_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "first").write_text(WEBHOOK_SECRET + "\n")
    table = {
        "url": "https://helpdesk.example.com",
        "service_account": "elevate-bot",
        "token_file": str(tmp_path / "token"),
        "secrets": {"first": {"file": str(tmp_path / "first")}},
    }
    assert helpdesks.connect("one", table).connection == "one"


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    table = {
        "url": "https://h.example.com",
        "service_account": "b",
        "token_file": str(tmp_path / "none"),
        "secrets": {},
    }
    with pytest.raises(ValueError, match="token_file: cannot read"):
        helpdesks.connect("one", table)
