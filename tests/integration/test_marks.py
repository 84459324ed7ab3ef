"""What is unusual, by every kind of row that there can be."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.elevation import Activation, Elevation, EndReason, State
from integration.marks import CONDITIONS, MEANINGS, WORDS, Mark, Of, marks
from integration.timeline import Note

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Held:
    emergency: bool = False
    reviewed_at: datetime | None = None
    active_at: datetime | None = NOON
    until: datetime | None = NOON + timedelta(hours=1)
    ended_at: datetime | None = NOON + timedelta(minutes=20)
    end_reason: str | None = EndReason.SOLVED


@dataclass(frozen=True)
class Role:
    by_hand: bool = False
    started_at: datetime | None = NOON
    ended_at: datetime | None = NOON + timedelta(minutes=20)
    usable_at: datetime | None = NOON


@dataclass(frozen=True)
class Said:
    written_at: datetime | None = NOON
    due_at: datetime | None = None


END = NOON + timedelta(hours=1)
MOMENTS = st.sampled_from([None, NOON, END, END + timedelta(seconds=5)])
HELD = st.builds(Held, st.booleans(), MOMENTS, MOMENTS, MOMENTS, MOMENTS, st.sampled_from([None, *map(str, EndReason)]))
ROLE = st.none() | st.builds(Role, st.booleans(), MOMENTS, MOMENTS, MOMENTS)
SAID = st.lists(st.builds(Said, MOMENTS, MOMENTS), max_size=3)


@pytest.mark.parametrize(
    ("held", "role", "said", "expected"),
    [
        (Held(), Role(), [Said()], ()),
        (Held(), None, [], ()),
        (Held(emergency=True, reviewed_at=NOON), Role(), [], (Mark.BREAK_GLASS,)),
        (Held(emergency=True), Role(), [], (Mark.BREAK_GLASS, Mark.NOT_REVIEWED)),
        (Held(), Role(by_hand=True, usable_at=None), [], (Mark.BY_HAND,)),
        (Held(ended_at=END), Role(), [], (Mark.NOT_GIVEN_BACK,)),
        (Held(ended_at=END, end_reason=EndReason.TIME_UP), Role(), [], ()),
        (Held(ended_at=END, active_at=None), Role(), [], ()),
        (Held(ended_at=END, end_reason=None), Role(), [], ()),
        (Held(), Role(usable_at=None), [], (Mark.NEVER_USABLE,)),
        (Held(), Role(usable_at=None, ended_at=None), [], ()),
        (Held(end_reason=EndReason.OUTSIDE), Role(), [], (Mark.ENDED_OUTSIDE,)),
        (Held(), Role(), [Said(), Said(written_at=None)], (Mark.NOTE_MISSING,)),
        (Held(), Role(), [Said(written_at=None, due_at=NOON)], ()),
    ],
)
def test_a_mark_is_given_for_what_its_words_say(
    held: Held, role: Role | None, said: list[Said], expected: tuple[Mark, ...]
) -> None:
    assert marks(held, role, said) == expected


@given(HELD, ROLE, SAID)
def test_marks_are_in_order_once_and_each_by_its_own_conditions(
    held: Held, role: Role | None, said: list[Said]
) -> None:
    found = marks(held, role, said)
    assert list(found) == [mark for mark in Mark if mark in found]
    assert Mark.NOT_REVIEWED not in found or Mark.BREAK_GLASS in found
    assert not {Mark.BY_HAND, Mark.NEVER_USABLE} <= set(found)
    if role is None:
        assert not {Mark.BY_HAND, Mark.NEVER_USABLE} & set(found)
    if held.active_at is None:
        assert not {Mark.NOT_GIVEN_BACK, Mark.NEVER_USABLE} & set(found)


@given(HELD, ROLE, SAID, SAID)
def test_another_note_takes_no_mark_away(held: Held, role: Role | None, said: list[Said], more: list[Said]) -> None:
    assert set(marks(held, role, said)) <= set(marks(held, role, said + more))


def test_each_mark_has_its_words_and_looks_at_columns_that_there_are() -> None:
    assert set(WORDS) == set(MEANINGS) == set(CONDITIONS) == set(Mark)
    known = {Of.ELEVATION: Elevation, Of.ACTIVATION: Activation, Of.NOTE: Note}
    for conditions in CONDITIONS.values():
        for it in conditions:
            assert it.column in {each.name for each in fields(known[it.of])}


def test_real_rows_are_judged_as_well() -> None:
    it = Elevation("E", "practice", "1", "technician", "p", State.OFFERED, 1, NOON, NOON)
    assert marks(it, None, []) == ()
