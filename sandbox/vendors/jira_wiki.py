"""Jira's wiki mark-up, as far as it can do harm. Source: jira.atlassian.com, "Text formatting notation"."""

from __future__ import annotations

import re

_ELEMENT = re.compile(
    r"(?P<mono>\{\{[^{}\n]+\}\})|(?P<macro>\{[a-zA-Z][^{}\n]*\})|(?P<link>\[[^\[\]\n]+\])|(?P<image>![^\s!]+!)"
    r"|(?P<strong>\*\S[^*\n]*\*)|(?P<em>_\S[^_\n]*_)"
)


def rendered(markup: str) -> str:
    """What a reader sees of wiki mark-up; each element that it makes is named in angle brackets."""
    shown, at = "", 0
    while at < len(markup):
        if markup.startswith("\\\\", at):
            shown, at = shown + "<br>", at + 2
        elif markup[at] == "\\" and at + 1 < len(markup) and not markup[at + 1].isalnum():
            shown, at = shown + markup[at + 1], at + 2
        elif found := _ELEMENT.match(markup, at):
            name = found.lastgroup or ""
            shown, at = shown + f"<{name} {found[0][1:-1]}>", found.end()
        else:
            shown, at = shown + markup[at], at + 1
    return shown
