"""The project that installs our rules, button and flow in ServiceNow: it declares what the adapter counts on.

Source: servicenow.github.io/sdk. What the SDK makes of it is tried where `now-sdk` is installed.
"""

import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import integration.helpdesks
from integration.helpdesks import apps
from integration.helpdesks.servicenow_settings import ServiceNowSettings

APP = Path(integration.helpdesks.__file__).parent / "servicenow_app"
FLUENT = {path.name: path.read_text() for path in sorted((APP / "src/fluent").glob("*.now.ts"))}
ALL = "\n".join(FLUENT.values())
SCRIPTS = {path.name: path.read_text() for path in sorted((APP / "src/scripts").glob("*.js"))}
TABLE, PICK = (ServiceNowSettings.model_fields[name].default for name in ("table", "pick_field"))
CHANGES = "assigned_toVALCHANGES^ORstateVALCHANGES^ORactiveVALCHANGES"


def declared(kind: str, identity: str) -> str:
    """The source of one declaration."""
    (found,) = re.findall(rf"^{kind}\(\{{\n    \$id: Now\.ID\['{identity}'\],\n(.*?)^\}}\)$", ALL, re.M | re.S)
    return str(found)


def test_the_column_that_our_rules_write_is_the_one_that_is_read_and_that_nobody_else_may_write() -> None:
    assert f"augments: '{TABLE}'" in FLUENT["column.now.ts"]
    assert re.search(rf"^        {PICK}: StringColumn\({{.*maxLength: 100, readOnly: true }}\)", ALL, re.M)
    written = {name for name, script in SCRIPTS.items() if "setValue(" in script}
    assert written == {"pick_first.js", "pick_last.js"}
    for name in written:
        assert set(re.findall(r"setValue\('(\w+)'", SCRIPTS[name])) == {PICK}
    for line in (f"field: '{PICK}'", "operation: 'write'", "script: 'answer = false;'", "adminOverrides: false"):
        assert line in declared("Acl", "pick-write")
    for line in (f"field: '{PICK}'", "operation: 'read'", "roles: ['sn_incident_read']"):
        assert line in declared("Acl", "pick-read")


def test_each_property_that_a_script_reads_is_declared_private_and_survives_a_newer_version() -> None:
    read = re.findall(r"_property\('([\w.]+)'", SCRIPTS["ticket_elevate_call.js"])
    names = {f"ticket_elevate.{name}{TABLE if name.endswith('.') else ''}" for name in read}
    assert "".join(SCRIPTS.values()).count("getProperty(") == 1
    for identity in ("base", "connection", "secret"):
        property_ = declared("Property", identity)
        (name,) = re.findall(r"name: '([\w.]+)'", property_)
        names.remove(name)
        for line in ("isPrivate: true", "write: ['admin']", "read: ['admin']", "installMethod: 'first install'"):
            assert line in property_
        assert ("value:" in property_) is (identity != "secret")
    assert not names


@pytest.mark.parametrize(
    ("identity", "when", "order", "condition", "script"),
    [
        ("pick-first", "before", 1, None, "pick_first.js"),
        ("pick-last", "before", 100000, None, "pick_last.js"),
        ("tell", "after", 10000, f"{CHANGES}^EQ", "tell.js"),
    ],
)
def test_the_rules_run_when_the_scripts_say(
    identity: str, when: str, order: int, condition: str | None, script: str
) -> None:
    rule = declared("BusinessRule", identity)
    for line in (f"table: '{TABLE}'", f"when: '{when}'", f"order: {order},", "action: ['insert', 'update']"):
        assert line in rule
    assert re.findall(r"filterCondition: '(.*)'", rule) == ([condition] if condition else [])
    assert f"Now.include('../scripts/{script}')" in rule
    head = SCRIPTS[script].partition("\n(function")[0]
    assert f": {when} insert and update, order {order}," in head


def test_the_button_is_for_the_assignee_of_a_ticket_that_is_there() -> None:
    button = declared("UiAction", "button")
    (condition,) = re.findall(r"condition: '(.*)'", button)
    assert f"condition: {condition}\n" in SCRIPTS["elevate_button.js"]
    for line in ("showInsert: false", "showUpdate: true", "form: { showButton: true }"):
        assert line in button


def test_the_flow_is_told_of_the_same_changes_as_the_rule_each_time_and_tries_three_times() -> None:
    flow = FLUENT["flow.now.ts"]
    assert f"condition: '{CHANGES}'" in flow
    for line in ("table: 'incident'", "run_flow_in: 'background'", "trigger_strategy: 'every'", "runAs: 'system'"):
        assert line in flow
    assert flow.count("wfa.action(tell,") == 3
    (inputs,) = re.findall(r"inputVariables: \{\n(.*?)\n {16}\}", flow, re.S)
    assert set(re.findall(r"^ +(\w+):", inputs, re.M)) == set(re.findall(r"inputs\.(\w+)", SCRIPTS["flow_tell.js"]))


def test_each_script_has_one_place_and_each_record_keeps_its_id() -> None:
    assert sorted(re.findall(r"Now\.include\('\.\./scripts/(\w+\.js)'\)", ALL)) == sorted(SCRIPTS)
    kept = (APP / "src/fluent/generated/keys.ts").read_text()
    for identity in re.findall(r"Now\.ID\['([\w-]+)'\]", ALL):
        assert re.search(rf"^ +'?{identity}'?: \{{\n +table: '\w+'\n +id: '[0-9a-f]{{32}}'", kept, re.M), identity


def test_what_is_installed_without_a_choice_tells_us_by_the_rule_alone() -> None:
    """The SDK would turn the flow on as it installs it, and both would tell us of each change."""
    assert "active: true" in declared("BusinessRule", "tell")
    commands = json.loads((APP / "package.json").read_text())["scripts"]
    assert "now-sdk install --skip-flow-activation" in commands["deploy"]
    assert commands["deploy-flow"].endswith("now-sdk install")


def test_the_package_names_one_version_of_the_sdk_and_the_scope_whose_names_we_use() -> None:
    sdk = json.loads((APP / "package.json").read_text())["devDependencies"]["@servicenow/sdk"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", sdk)
    config = json.loads((APP / "now.config.json").read_text())
    assert config["scope"] == "global"
    assert re.fullmatch(r"[0-9a-f]{32}", config["scopeId"])


def test_what_is_written_out_has_our_address_and_the_name_of_the_connection() -> None:
    packed = zipfile.ZipFile(io.BytesIO(apps.pack("servicenow", url="https://roles.example.net", connection="desk_2")))
    properties = packed.read("src/fluent/properties.now.ts").decode()
    assert re.findall(r"value: (.*),", properties) == ['"https://roles.example.net"', '"desk_2"']


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[ET.Element]]:
    """What the SDK makes of the project, by table."""
    sdk = shutil.which("now-sdk")
    if sdk is None:
        pytest.skip("needs ServiceNow's SDK: now-sdk")
    folder = tmp_path_factory.mktemp("servicenow_app")
    packed = apps.pack("servicenow", url="https://roles.example.net", connection="desk_2")
    zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
    modules = next(it for it in Path(sdk).resolve().parents if it.name == "node_modules")
    (folder / "node_modules").symlink_to(modules)
    subprocess.run([sdk, "build"], cwd=folder, check=True, capture_output=True, timeout=300)
    kept = "src/fluent/generated/keys.ts"
    assert (folder / kept).read_bytes() == (APP / kept).read_bytes()
    records = [it for path in (folder / "dist/app").rglob("*.xml") for it in ET.parse(path).iter()]  # noqa: S314  # our own
    return lambda table: [it for it in records if it.tag == table and it.get("action") == "INSERT_OR_UPDATE"]


@pytest.mark.long
def test_the_sdk_makes_of_it_what_we_meant(built: Callable[[str], list[ET.Element]]) -> None:
    columns = built("sys_dictionary")
    assert (TABLE, PICK, "100") in [(it.get("table"), it.get("element"), it.findtext("max_length")) for it in columns]
    properties = {it.findtext("name"): it.findtext("value") for it in built("sys_properties")}
    assert properties == {
        "ticket_elevate.base": "https://roles.example.net",
        f"ticket_elevate.connection.{TABLE}": "desk_2",
        "ticket_elevate.secret": "",
    }
    scripts = {str(it.findtext("script")).strip() for kind in ("sys_script", "sys_script_include", "sys_ui_action")
               for it in built(kind)}  # fmt: skip
    assert scripts == {text.strip() for name, text in SCRIPTS.items() if name != "flow_tell.js"}
    assert len(built("sys_security_acl")) == 2
    (flow,) = built("sys_hub_flow")
    assert (flow.findtext("active"), flow.findtext("status")) == ("false", "draft")
    assert len(built("sys_hub_action_instance_v2")) == 3
