"""A connection's table in the settings' file, and its secrets in files beside our data: written whole or not at all."""

import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

_PRIVATE = 0o600


class NotWritten(Exception):
    """The settings are as they were; str() says why, and what to do."""


def table_of(path: Path, name: str) -> dict[str, Any] | None:
    """What the settings' file says of the connection; None where it does not. Raises NotWritten."""
    found = _parsed(path, _text(path)).get("helpdesks", {})
    table = found.get(name) if isinstance(found, dict) else None
    return table if isinstance(table, dict) else None


@contextmanager
def secret_files(folder: Path, secrets: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """A file of mode 0600 for each of the `secrets`, by their names. They are deleted if what follows does not succeed.

    No file that is there is changed: settings that name it may be in force.
    """
    made: list[Path] = []
    found: dict[str, Path] = {}
    try:
        for name, secret in secrets.items():
            found[name], new = _secret_file(folder, name, secret)
            made += [found[name]] if new else []
        yield found
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def write_table(path: Path, name: str, table: Mapping[str, Any]) -> None:
    """Put the table `[helpdesks.<name>]` into the file, and leave all else in it as it stands. Raises NotWritten.

    Of a table that is there, the keys that are given are replaced.
    """
    _replace(path, _added(path, name, table).encode())


def try_to_write(path: Path, name: str, kind: str) -> None:
    """Raises NotWritten where `write_table` would. The file says what it said: it is written as it is."""
    _added(path, name, {"kind": kind})
    try:
        content = path.read_bytes() if path.exists() else None
        if content is None:
            with tempfile.TemporaryFile(dir=path.resolve().parent):
                return
    except OSError as error:
        raise _refused(path, error) from None
    _replace(path, content)  # a file that is mounted by itself can be written beside, and not replaced


def as_text(name: str, table: Mapping[str, Any]) -> str:
    """The table as it would stand in the file."""
    rows = tomlkit.table()
    for key, value in table.items():
        rows.add(key, _inline(value))
    return tomlkit.dumps({"helpdesks": tomlkit.table(is_super_table=True).add(name, rows)})


def _added(path: Path, name: str, table: Mapping[str, Any]) -> str:
    """What the file says, and the table."""
    text = _text(path)
    expected = _parsed(path, text)
    known = expected.setdefault("helpdesks", {})
    if not isinstance(known, dict):
        raise NotWritten(f"{path}: helpdesks is no table.")
    twins = {_twin(key) for key in table}
    known[name] = {key: value for key, value in known.get(name, {}).items() if key not in twins} | dict(table)
    written = _with_table(text, name, table)
    # What a library made of somebody's file is not trusted unseen: it must say what it said, and the table.
    if not _says(written, expected):
        raise NotWritten(
            f"{path} is written in a way that cannot be added to without harm. Give each connection a table of its "
            f"own, which begins with a line such as [helpdesks.{name}], and no `helpdesks = ` before them."
        )
    return written


def delete_unnamed(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Path]:
    """Delete the files of ours that a table named `before`, and that no connection names `now`.

    `now`: the tables of all connections, since one may use another's file. Answers with those that stay although they
    should go.
    """
    left = []
    for path in _paths(before) - _paths(now):
        if path.parent == folder:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                left.append(path)
    return left


def _paths(value: Any, key: str = "") -> set[Path]:
    if isinstance(value, Mapping):
        return {path for name, inner in value.items() for path in _paths(inner, name)}
    return {Path(value).resolve()} if isinstance(value, str) and key.endswith("file") else set()


def _with_table(text: str, name: str, table: Mapping[str, Any]) -> str:
    try:
        document = tomlkit.parse(text)
        known = document.get("helpdesks")
        if known is None or name not in known:
            return f"{text.rstrip()}\n\n{as_text(name, table)}".lstrip("\n")
        for key, value in table.items():
            known[name].pop(_twin(key), None)
            known[name][key] = _inline(value)
        return tomlkit.dumps(document)
    except TOMLKitError:
        return ""


def _inline(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    row = tomlkit.inline_table()
    for key, inner in value.items():
        row.add(key, _inline(inner))
    return row


def _secret_file(folder: Path, name: str, secret: str) -> tuple[Path, bool]:
    """The file, and whether it is new: one that holds this secret already is used again."""
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            _give(folder, folder.parent)
        for place in range(1, 1000):
            path = folder / (name if place == 1 else f"{name}-{place}")
            if path.exists():
                if path.read_text(encoding="utf-8").strip() == secret and not path.stat().st_mode & 0o077:
                    return path, False
                continue
            _write_secret(path, secret)
            return path, True
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a file there is not text"
        raise NotWritten(f"Cannot write a secret into {folder} ({reason}).") from None
    raise NotWritten(f"There are too many files called {name}-... in {folder}. Delete those that no setting names.")


def _write_secret(path: Path, secret: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(f"{secret}\n")
        _give(path, path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _give(path: Path, like: Path) -> None:
    """To whom `like` belongs: an administrator who is root must not keep secrets from the account that we run as."""
    owner = like.stat()
    if os.geteuid() == 0 and (owner.st_uid, owner.st_gid) != (0, 0):
        os.chown(path, owner.st_uid, owner.st_gid)


def _twin(key: str) -> str:
    """`token` stands for what `token_file` says as well, so there is only one of them."""
    return key.removesuffix("_file") if key.endswith("_file") else f"{key}_file"


def _replace(path: Path, content: bytes) -> None:
    """At once, with the mode and the owner that the file has."""
    path = path.resolve()  # a link stays one
    draft = None
    try:
        had = path.stat() if path.exists() else None
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # which nobody else can read
        draft = Path(name)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        if had:
            draft.chmod(had.st_mode & 0o7777)
            if (had.st_uid, had.st_gid) != (os.getuid(), os.getgid()):
                os.chown(draft, had.st_uid, had.st_gid)
        draft.replace(path)
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> NotWritten:
    return NotWritten(f"Cannot write {path} ({error.strerror}).")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise NotWritten(f"Cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}.") from None


def _says(text: str, expected: Mapping[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        return False


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotWritten(f"{path} is not TOML: {error}.") from None
