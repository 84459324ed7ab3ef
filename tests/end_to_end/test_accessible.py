"""Each page, and each state that one can be in, judged by axe (WCAG 2.2 AA) in both themes and on narrow screens."""

from collections.abc import Callable

import pytest

from tests.end_to_end.conftest import Someone

pytestmark = pytest.mark.browser
Arrive = Callable[..., Someone]


@pytest.mark.parametrize(
    ("name", "who", "path"),
    [
        ("sign-in", None, "/"),
        ("now-empty", "technician2", "/"),
        ("approvals-empty", "technician2", "/approvals"),
        ("nothing-here", "technician2", "/no-such-page"),
    ],
)
def test_a_page(someone: Arrive, name: str, who: str | None, path: str) -> None:
    me = someone(who or "technician")
    if who:
        me.comes_to("/")
    me.at(path)
    me.is_accessible(name)
