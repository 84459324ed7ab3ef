"""Stylesheets and scripts: small on the way, asked for once, and never an old one beside a new page."""

import gzip
import re
from collections.abc import Callable
from html import unescape

from tests.webhooks.conftest import Browser

Opened = Callable[..., Browser]
BROWSERS_ACCEPT = "gzip, deflate"  # without TLS; with it, Brotli too


def files(text: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'(?:href|src)="([^"]*/static/[^"]+)"', text)]


def test_each_file_is_named_by_its_content_kept_for_good_and_compressed(browser: Opened) -> None:
    page = browser()
    found = files(page.get("/").text)
    assert len(found) >= 3
    for address in found:
        assert re.search(r"[?&]v=[0-9a-f]{12}$", address), address
        with page.get(address) as plain, page.get(address, headers={"Accept-Encoding": BROWSERS_ACCEPT}) as packed:
            assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            if len(plain.data) > 1000:
                assert packed.headers["Content-Encoding"] == "gzip", address
                assert gzip.decompress(packed.data) == plain.data


def test_a_file_of_an_unknown_version_is_asked_for_each_time(browser: Opened) -> None:
    for address in ("/static/elevate.css", "/static/none.css?v=0"):
        with browser().get(address) as answer:
            assert "immutable" not in answer.headers["Cache-Control"]


def test_a_page_is_not_compressed_beside_its_secrets(browser: Opened) -> None:
    answer = browser("technician").get("/", headers={"Accept-Encoding": "gzip, br"})
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
