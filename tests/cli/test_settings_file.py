"""A table into the settings' file. Contract: all else stays as it is written, or nothing changes and that is said."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from cli.settings_file import NotWritten, secret_files, table_of, write_table

TABLE = {"kind": "generic", "url": "https://desk.example", "secrets": {"a": {"file": "/x"}}, "categories": {"a.b": "C"}}
OUT_OF_ORDER = """# ours
public_url = "https://elevate.example.org"   # the front door

[helpdesks.first]   # the old one
kind = "generic"

[entra]
tenant_id = "1"

[helpdesks.last]
kind = "zammad" # newest
secrets = { b = "x" }
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a = 1",
        "# only a word\n",
        "[entra]\na = 1\n[helpdesks]\n",
        OUT_OF_ORDER,
        "[helpdesks.first.secrets]\na = 'x'\n",
    ],
)
def test_a_new_table_is_added_and_all_else_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    before = tomllib.loads(text)

    write_table(path, "new", TABLE)

    after = tomllib.loads(path.read_text())
    assert after["helpdesks"].pop("new") == TABLE
    assert after == {"helpdesks": {}, **before}
    assert path.read_text().startswith(text.rstrip())


def test_a_file_to_which_nothing_can_be_added_is_left_alone_and_what_to_write_is_said(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("helpdesks = { first = { kind = 'generic' } }\n")  # TOML: an inline table is closed

    with pytest.raises(NotWritten, match=re.escape("[helpdesks.new]")):
        write_table(path, "new", TABLE)

    assert path.read_text() == "helpdesks = { first = { kind = 'generic' } }\n"


def test_a_table_that_is_there_keeps_its_words_and_what_is_not_given(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(OUT_OF_ORDER.replace('kind = "zammad"', 'url = "x" # why\ntoken = "plain"\nkind = "zammad"'))

    write_table(path, "last", {"url": "https://y", "token_file": "/t"})

    text = path.read_text()
    assert tomllib.loads(text)["helpdesks"]["last"] == {
        "url": "https://y",
        "token_file": "/t",
        "kind": "zammad",
        "secrets": {"b": "x"},
    }
    for words in ("# ours", "# the front door", "# the old one", "# newest", "# why"):
        assert words in text
    assert "plain" not in text


def test_a_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("what = ")
    with pytest.raises(NotWritten, match="is not TOML"):
        write_table(path, "new", TABLE)
    assert path.read_text() == "what = "


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "real.toml", tmp_path / "settings.toml"
    path.write_text("a = 1\n")
    link.symlink_to(path)

    write_table(link, "new", TABLE)

    assert link.is_symlink()
    assert table_of(path, "new") == TABLE
    assert sorted(it.name for it in tmp_path.iterdir()) == ["real.toml", "settings.toml"]


def test_secrets_go_when_what_follows_fails_and_those_before_stay(tmp_path: Path) -> None:
    with secret_files(tmp_path, {"token": "old"}):
        pass

    def fail() -> None:
        with secret_files(tmp_path, {"token": "new", "other": "x"}):
            assert len(list(tmp_path.iterdir())) == 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [it.read_text() for it in tmp_path.iterdir()] == ["old\n"]


def test_a_secret_that_is_there_is_not_written_twice(tmp_path: Path) -> None:
    with secret_files(tmp_path, {"token": "same"}) as first, secret_files(tmp_path, {"token": "same"}) as second:
        assert first == second


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_whom_the_data_belongs(tmp_path: Path) -> None:
    data, settings = tmp_path / "var", tmp_path / "settings.toml"
    data.mkdir()
    settings.write_text("a = 1\n")
    for path in (data, settings):
        os.chown(path, 65534, 65534)

    with secret_files(data / "helpdesks", {"token": "x"}) as files:
        write_table(settings, "new", TABLE)

    for path in (files["token"], files["token"].parent, settings):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
