"""What a notice says: our words, and of others' only what no chat or mail program takes for more than words."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from integration import notices
from integration.elevation import Elevation, State
from integration.notices import NoticeKind

ONE = Elevation(
    id="E1",
    connection="one",
    ticket="4711",
    account="technician",
    pick="1",
    state=State.PENDING,
    version=1,
    due_at=None,
    created_at=datetime(2026, 3, 2, tzinfo=UTC),
    target_name="Helpdesk Administrator",
)
PAGES = {"link": "https://elevate/e/1", "approvals": "https://elevate/approvals"}


def said(kind: NoticeKind, it: Elevation, url: str | None = "https://desk/4711") -> str:
    return notices.text(kind, it, ticket_url=url, **PAGES)


@pytest.mark.parametrize("kind", NoticeKind)
def test_a_title_is_short_however_long_a_role_is_called(kind: NoticeKind) -> None:
    title = notices.title(kind, replace(ONE, target_name="Role " * 100))

    assert len(title) <= notices.TITLE_LIMIT
    assert "\n" not in title


@pytest.mark.parametrize("kind", [NoticeKind.APPROVAL, NoticeKind.STEP_UP])
def test_a_ticket_is_named_and_nothing_that_people_typed_is_said(kind: NoticeKind) -> None:
    text = said(kind, replace(ONE, justification="typed one", outcome="typed two", reason="typed three"))

    assert "ticket 4711 (https://desk/4711)" in text
    assert "https://elevate/" in text
    assert "typed" not in text


def test_an_approver_is_led_to_the_page_of_approvals() -> None:
    assert "https://elevate/approvals" in said(NoticeKind.APPROVAL, ONE)
    assert "https://elevate/approvals" not in said(NoticeKind.STEP_UP, ONE)


def test_a_break_glass_says_its_reason_and_that_there_is_no_ticket() -> None:
    text = said(NoticeKind.BREAK_GLASS, replace(ONE, emergency=True, reason="The sign-in of all is down, see 4.5"))

    assert "without a ticket" in text
    assert "desk/" not in text
    assert "Reason: The sign-in of all is down, see 4. 5" in text


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("@everyone look", "everyone look"),
        ("<at>all</at> <b>x</b>", "at all / at b x / b"),
        ("[a](https://evil.example)", "a (https: / / evil. example)"),
        ("**x** `y` ~~z~~ # h | t \\ &lt;", "x y z h t lt;"),
        ("line\n# head\r\n> quote", "line head quote"),
        ("a\u202eb\u200bc\x00", "abc"),
        ("Grüße, 第一", "Grüße, 第一"),
    ],
)
def test_what_others_wrote_becomes_words(typed: str, plain: str) -> None:
    assert notices.plain(typed, limit=100) == plain
