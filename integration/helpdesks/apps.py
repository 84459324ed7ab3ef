"""The apps that stand beside a ticket in its helpdesk, from their source in this package to the file to upload.

That of ServiceNow is a project for its SDK, which installs it: there the file is to be unpacked.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
MANIFESTS = ("manifest.json", "now.config.json")
PROPERTIES = "src/fluent/properties.now.ts"  # of ServiceNow
EXAMPLE, CONNECTION = "https://elevate.example.org", "servicenow"
MADE = (1980, 1, 1, 0, 0, 0)  # of each file in the archive: the same source gives the same bytes


class NoApp(ValueError):
    """There is no app for a helpdesk of this kind; str() lists those there are."""


def kinds() -> list[str]:
    folders = (path for path in HERE.glob("*_app") if any((path / name).exists() for name in MANIFESTS))
    return sorted(path.name.removesuffix("_app") for path in folders)


def pack(kind: str, *, url: str, connection: str) -> bytes:
    """The app for a helpdesk of this `kind` as a zip file. `url` is our public_url. Raises NoApp."""
    if kind not in kinds():
        raise NoApp(f"There is no app for a helpdesk of the kind {kind!r}. There is one for: {', '.join(kinds())}.")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in _files(kind):
            out.writestr(zipfile.ZipInfo(name, MADE), _filled(name, content, url, connection), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def _files(kind: str) -> Iterator[tuple[str, bytes]]:
    folder = HERE / f"{kind}_app"
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _filled(name: str, content: bytes, url: str, connection: str) -> bytes:
    """With our address and the connection's name where the source has an example of each."""
    if name == PROPERTIES:
        source = content.decode()
        for example, ours in ((EXAMPLE, url), (CONNECTION, connection)):
            source = source.replace(f"value: '{example}'", f"value: {json.dumps(ours)}")
        return source.encode()
    if name not in ("manifest.json", "config/iparams.json"):
        return content
    read = json.loads(content)
    if name == "config/iparams.json":
        read["url"]["default_value"], read["connection"]["default_value"] = url, connection
    elif "author" in read:
        read["author"]["url"] = url
        for place in read["location"]["support"].values():
            place["url"] = f"{url}/embed/{connection}"
    return (json.dumps(read, indent=2, ensure_ascii=False) + "\n").encode()
