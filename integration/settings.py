"""Settings: one TOML file, each key also an environment variable, checked at start. docs/settings.md is made from this.

The file is named by TICKET_ELEVATE_SETTINGS (default: settings.toml here). `TICKET_ELEVATE_ENTRA__CLIENT_ID` overrides
`client_id` in `[entra]`. A secret may be given as `<name>_file`, the path of a file that holds it.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from integration.entra.client import EntraSettings
from integration.entra.clouds import CLOUDS, LOGIN_HOSTS
from integration.notices import NoticeKind
from integration.secret_files import read_secret, read_secret_files

SETTINGS_VARIABLE = "TICKET_ELEVATE_SETTINGS"


class SettingsInvalid(Exception):
    """str() lists each setting that is wrong, and what to write instead."""


class Entra(BaseModel):
    """The tenant, and our app registration in it."""

    model_config = ConfigDict(extra="forbid")
    cloud: Literal["public", "us_government", "us_dod", "china"] = Field(
        "public", description="Microsoft's cloud that the tenant is in: public, us_government, us_dod or china"
    )
    tenant_id: str = Field(description="The tenant's id (a GUID)")
    client_id: str = Field(description="The app registration's application (client) id")
    client_secret: SecretStr | None = Field(
        None, description="For trying things out; use certificate_file or assertion_file"
    )
    certificate_file: Path | None = Field(
        None, description="PEM with private key and certificate of the app registration"
    )
    assertion_file: Path | None = Field(
        None, description="File with a federated (workload identity) token, read at each use"
    )
    authority: str = Field(
        "", description="Empty: the cloud's sign-in host and tenant_id; the practice tenant has others"
    )
    graph_url: str = Field("", description="Empty: the cloud's; the practice tenant has another")
    arm_url: str = Field("", description="Empty: the cloud's Azure Resource Manager; the practice tenant has another")
    ca_bundle: Path | None = Field(
        None, description="CA certificates to trust instead of the system's (practice tenant)"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:
        return read_secret_files(data, ("client_secret",))

    @model_validator(mode="after")
    def _hosts_of_the_cloud(self) -> "Entra":
        cloud = CLOUDS[self.cloud]
        self.authority = self.authority or f"https://{cloud.login}/{self.tenant_id}"
        self.graph_url = self.graph_url or f"https://{cloud.graph}"
        self.arm_url = self.arm_url or f"https://{cloud.arm}"
        return self

    @model_validator(mode="after")
    def _one_credential(self) -> "Entra":
        given = [x for x in (self.client_secret, self.certificate_file, self.assertion_file) if x is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of client_secret, certificate_file and assertion_file")
        return self

    @property
    def connection(self) -> EntraSettings:
        """The same, as `integration.entra` takes it."""
        secret = self.client_secret
        return EntraSettings(
            authority=self.authority,
            tenant_id=self.tenant_id,
            client_id=self.client_id,
            graph_url=self.graph_url,
            arm_url=self.arm_url,
            client_secret=secret.get_secret_value() if secret else None,
            certificate_path=str(self.certificate_file) if self.certificate_file else None,
            assertion_file=str(self.assertion_file) if self.assertion_file else None,
            ca_bundle=str(self.ca_bundle) if self.ca_bundle else None,
        )


class Notify(BaseModel):
    """Who is told beyond the ticket, by chat or e-mail: lists of addresses, as docs/notifications.md shows them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    approvals: tuple[SecretStr, ...] = Field((), description="Told when an approver is waited for")
    step_ups: tuple[SecretStr, ...] = Field((), description="Told when a technician must sign in more strongly")
    break_glass: tuple[SecretStr, ...] = Field((), description="Told when somebody breaks the glass")

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for name in ("approvals", "step_ups", "break_glass"):
            path = data.pop(f"{name}_file", None)
            if path is not None and name in data:
                raise ValueError(f"give {name} or {name}_file, not both")
            if path is not None:
                lines = read_secret(f"{name}_file", path).splitlines()
                data[name] = [line.strip() for line in lines if line.strip()]
        return data

    @field_validator("approvals", "step_ups", "break_glass")
    @classmethod
    def _can_be_sent_to(cls, value: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        if value:
            from integration import notify  # here, since loading it takes a while and most desks have no use for it

            for place, address in enumerate(value, start=1):
                try:
                    notify.check(address)
                except notify.AddressRefused as error:
                    raise ValueError(f"address {place} of {info.field_name} is not usable: {error}") from None
        return value

    def of(self, kind: NoticeKind) -> tuple[SecretStr, ...]:
        """Where notices of `kind` go; empty where nobody is told."""
        lists = {
            NoticeKind.APPROVAL: self.approvals,
            NoticeKind.STEP_UP: self.step_ups,
            NoticeKind.BREAK_GLASS: self.break_glass,
        }
        return lists[kind]


class Settings(BaseSettings):
    """Everything an administrator can set."""

    model_config = SettingsConfigDict(
        env_prefix="TICKET_ELEVATE_",
        env_nested_delimiter="__",
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )
    public_url: str = Field(description="Where people's browsers reach us; every link in a comment starts with it")
    database_url: str = Field(
        "sqlite:///var/elevate.sqlite",
        repr=False,
        description="SQLAlchemy URL: sqlite:///... or postgresql+psycopg://...",
    )
    redis_url: str = Field(
        "", repr=False, description="redis://...; empty: `ticket-elevate run` starts the bundled Redis"
    )
    data_dir: Path = Field(Path("var"), description="Where `run` keeps what it starts itself (Redis' files, logs)")
    key_file: Path = Field(
        Path("var/keys"), description="The key ring that seals tokens; mode 0400, made by `ticket-elevate init`"
    )
    checkpoint_key_file: Path = Field(
        Path("var/checkpoint-key"),
        description="The key that signs checkpoints of the journal; mode 0400, made by `ticket-elevate init`; the web "
        "process need not read it",
    )
    checkpoint_dir: Path = Field(
        Path("var/checkpoints"),
        description="Where copies of the checkpoints go; best a store that only an auditor can change",
    )
    rules_file: Path | None = Field(None, description="Your rules; empty: the rules that ship with the product")
    ticket_system: str = Field("Helpdesk", description="Sent to Entra as the ticket system")
    time_zone: str = Field("UTC", description="The desk's time zone, for the times in comments: Europe/Berlin")
    help_contact: str = Field("your administrator", description="Whom a technician asks; shown on every refusal")
    give_back_minimum_seconds: int = Field(
        300, ge=0, description="The tenant refuses to take a role back earlier than this"
    )
    eligibilities_seconds: int = Field(
        900, ge=0, description="How long what the tenant said of eligibilities and policies is believed"
    )
    poll_seconds: int = Field(
        120, ge=0, description="How often helpdesks are asked what changed, for calls that got lost; 0: never"
    )
    bind: str = Field("127.0.0.1:8080", description="Where the web process listens")
    proxies: int = Field(0, ge=0, description="How many trusted proxies stand in front of the web process")
    web_processes: int = Field(2, ge=1, description="gunicorn processes")
    worker_processes: int = Field(2, ge=1, description="Celery processes")
    session_idle_minutes: int = Field(30, ge=1, description="A page session ends after this long without a click")
    session_hours: int = Field(8, ge=1, description="A page session ends after this long in any case")
    posts_per_minute: int = Field(60, ge=1, description="Buttons that one person may press in a minute")
    sign_ins_per_minute: int = Field(
        60, ge=1, description="Sign-ins started per address and minute; one address may be a whole desk's"
    )
    metrics_token: SecretStr | None = Field(
        None, description="What Prometheus sends as bearer token; empty: /metrics is closed"
    )
    practice: bool = Field(False, description="Allow the practice tenant; paints a banner on every page")
    entra: Entra = Field(description="The tenant")
    helpdesks: dict[str, dict[str, Any]] = Field(
        default_factory=dict, repr=False, description="One table per connected helpdesk; `kind` names the adapter"
    )
    notify: Notify = Field(Notify.model_validate({}), description="Who is told beyond the ticket; empty: nobody")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Of our own log")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file())

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{value!r} is not a time zone; write one like Europe/Berlin") from error
        return value

    @field_validator("public_url")
    @classmethod
    def _no_slash(cls, value: str) -> str:
        return public_address(value)

    @model_validator(mode="after")
    def _practice_is_said(self) -> "Settings":
        if self.entra.ca_bundle and not self.practice:
            raise ValueError("entra.ca_bundle is for the practice tenant: set practice = true too, or remove it")
        if self.practice:
            return self
        host = urlsplit(self.entra.authority).hostname
        if host not in LOGIN_HOSTS:
            known = ", ".join(sorted(LOGIN_HOSTS))
            raise ValueError(f"entra.authority is on {host}, which is no sign-in host of Microsoft Entra ({known})")
        cloud = CLOUDS[self.entra.cloud]
        for name, given, right in (
            ("authority", self.entra.authority, cloud.login),
            ("graph_url", self.entra.graph_url, cloud.graph),
            ("arm_url", self.entra.arm_url, cloud.arm),
        ):
            # A token must go nowhere else, and one cloud's are worth nothing in another.
            if urlsplit(given)[:2] != ("https", right):
                raise ValueError(
                    f"entra.{name} is not on https://{right}, where the cloud {self.entra.cloud} has it: "
                    "leave it out and set entra.cloud"
                )
        return self

    @model_validator(mode="after")
    def _own_secret_for_each_helpdesk(self) -> "Settings":
        # A secret that two helpdesks share lets one speak for the other.
        seen: dict[str, str] = {}
        for name, table in self.helpdesks.items():
            given = table.get("secrets")
            for secret in given.values() if isinstance(given, dict) else ():
                if isinstance(secret, str) and seen.setdefault(secret, name) != name:
                    raise ValueError(f"helpdesks.{name} and helpdesks.{seen[secret]} share a webhook secret")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def give_back_minimum(self) -> timedelta:
        return timedelta(seconds=self.give_back_minimum_seconds)

    @property
    def redirect_uri(self) -> str:
        return f"{self.public_url}/sign-in/callback"


def public_address(text: str) -> str:
    """`text` as the address at which browsers reach us, without a slash at its end. Raises ValueError."""
    try:
        parts = urlsplit(text)
        secure = parts.scheme == "https" and bool(parts.hostname)
        ours = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")
        proper = (secure or ours) and (parts.port is None or parts.port > 0)
    except ValueError:
        proper = False
    if not proper:
        raise ValueError("public_url must start with https:// (http only on localhost)")
    if any(it in text for it in "?#@\\ ") or not text.isprintable():
        raise ValueError("public_url must be an address alone, without blanks, ?, # and @: paths are put behind it")
    return text.rstrip("/")


def file() -> Path:
    """The settings' file, for this process."""
    return Path(os.environ.get(SETTINGS_VARIABLE, "settings.toml"))


def load(*, helpdesks: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """The settings in force, as they would be with these `helpdesks` added. Raises SettingsInvalid."""
    try:
        return Settings.model_validate({"helpdesks": helpdesks} if helpdesks else {})
    except ValidationError as error:
        # Never the values: a mistyped secret must not reach a terminal or a log.
        lines = [f"- {'.'.join(str(part) for part in e['loc']) or 'settings'}: {e['msg']}" for e in error.errors()]
        raise SettingsInvalid("The settings are not usable:\n" + "\n".join(lines)) from None
