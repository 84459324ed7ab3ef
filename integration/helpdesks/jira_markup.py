"""The text of Jira's comments: ours in its wiki mark-up, and anybody's out of its document format.

Wire facts: jira.atlassian.com, "Text formatting notation"; developer.atlassian.com, "Atlassian Document Format".
"""

import re
from typing import Any

from integration.helpdesks.values import table

LONGEST_NOTE = 10_000  # characters; escaped they are at most three times as many, and Jira takes 32,767
_URL = re.compile(r"(https?://\S+)")
_IN_URLS = re.compile(r"[{}\[\]|!*_^~\\]")
# What wiki mark-up gives a meaning: macros, links and mentions, tables, images and emphasis anywhere; the others where
# they do not stand within a word; and smileys.
_MARK_UP = re.compile(
    r"[{}\[\]|!*_^~]|(?<![0-9A-Za-z])[-+?#]|[-+?#](?![0-9A-Za-z])|[:;](?=[()DPp])|\((?=[a-z/+?-]{1,8}\))"
)


def plain(text: str) -> str:
    """`text` in Jira's wiki mark-up, so that it reads as it stands: no macro, no mention, no image."""
    parts = _URL.split(_cut(text))
    # A link must stay one, and a backslash would end it.
    parts[1::2] = [_IN_URLS.sub(lambda found: f"%{ord(found[0]):02X}", it) for it in parts[1::2]]
    # Two backslashes are a line end in wiki mark-up: one that we add must not meet one that was there.
    parts[::2] = [_MARK_UP.sub(r"\\\g<0>", it.replace("\\", "\uff3c")) for it in parts[::2]]
    return "".join(parts)


def _cut(text: str) -> str:
    """At most LONGEST_NOTE characters; the last line holds the marker and stays."""
    if len(text) <= LONGEST_NOTE:
        return text
    before, _, last = text.rpartition("\n")
    last = last[-500:]
    return f"{before[: LONGEST_NOTE - len(last) - 1]}\n{last}"


def words(body: Any) -> str:
    """The text of a comment: of its document's text nodes, one after the other."""
    if isinstance(body, str):
        return body
    node = table(body)
    content = node.get("content")
    own = node.get("text")
    return (own if isinstance(own, str) else "") + "".join(
        words(one) for one in (content if isinstance(content, list) else [])
    )
