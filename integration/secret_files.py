"""Every secret setting has a twin: `<name>_file`, the path of a file that holds the secret."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_secret_files(data: Any, names: Iterable[str]) -> Any:
    """Put the content of each `<name>_file` in place of `<name>`. Raises ValueError (path, no content)."""
    if not isinstance(data, dict):
        return data
    data = dict(data)
    for name in names:
        path = data.pop(f"{name}_file", None)
        if path is None:
            continue
        if name in data:
            raise ValueError(f"give {name} or {name}_file, not both")
        data[name] = read_secret(f"{name}_file", path)
    return data


def read_secret(setting: str, path: str | Path) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"{setting}: cannot read {path} ({reason})") from None
    if not text:
        raise ValueError(f"{setting}: {path} is empty")
    return text
