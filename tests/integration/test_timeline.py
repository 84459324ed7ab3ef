"""One column by time, whatever somebody made of the journal's entries."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration import journal
from integration.elevation import Activation, ActivationState
from integration.journal import Kind
from integration.timeline import ENDS, KINDS, SOURCES, Entry, Event, Note, Source, Standing, timeline

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def entries(*kinds: Kind, facts: dict[str, journal.Fact] | None = None) -> list[Entry]:
    """A true journal of these, a second apart; each with who did it."""
    tail, made = journal.empty(journal.new_log()), []
    for n, kind in enumerate(kinds):
        at = NOON + timedelta(seconds=n)
        added = journal.append(tail, at=at, kind=kind, cause="click", facts=facts or {}, private={"actor": "oid-1"})
        private = tuple((it.name, it.salt, it.value) for it in added.opened)
        made.append(Entry(n + 1, added.seq, at, kind, added.entry_json, added.hash, private))
        tail = added.tail
    return made


def note(after: float, *, written: bool = True) -> Note:
    at = NOON + timedelta(seconds=after)
    return Note("It is active.", at, at if written else None, None, None if written else "the ticket is gone")


ROLE = Activation(
    "A1", "t", "o", "target", "Reader", ActivationState.GIVEN_BACK, 1, None, NOON, 3600, "why", "4821", request_id="R1"
)


def test_the_three_stand_by_time_and_say_where_they_come_from() -> None:
    role = replace(ROLE, started_at=NOON + timedelta(seconds=1.5), ended_at=NOON + timedelta(seconds=9))
    found = timeline(
        entries(Kind.PICK_PLANNED, Kind.ACTIVATION_ASKED, Kind.ACTIVATION_SEEN), [note(2.5), note(10)], role
    )
    assert [it.source for it in found] == [
        Source.JOURNAL,
        Source.JOURNAL,
        Source.TENANT,
        Source.TENANT,
        Source.JOURNAL,
        Source.TICKET,
        Source.TENANT,
        Source.TICKET,
    ]
    assert found[0].facts == {"actor": "oid-1"}
    assert not any(it.changed for it in found)


def test_what_the_tenant_did_stands_behind_our_request_whatever_its_clock_says() -> None:
    role = replace(ROLE, started_at=NOON - timedelta(minutes=4))
    found = timeline(entries(Kind.ACTIVATION_INTENDED, Kind.ACTIVATION_ASKED), [], role)
    assert [it.title for it in found[:2]] == [KINDS[Kind.ACTIVATION_INTENDED], KINDS[Kind.ACTIVATION_ASKED]]
    assert [it.source for it in found[2:]] == [Source.TENANT, Source.TENANT]


@pytest.mark.parametrize(
    "damage",
    [
        {"entry": ""},
        {"entry": "[]"},
        {"entry": "null"},
        {"entry": "[" * 100_000},
        {"entry": '{"facts": null}'},
        {"hash": ""},
        {"hash": "0" * 64},
        {"private": (("actor", b"x" * 32, "somebody else"),)},
        {"private": (("actor", b"", "oid-1"),)},
        {"kind": "<b>", "at": None, "seq": None, "entry": "\udcff"},
    ],
)
def test_a_changed_entry_is_marked_and_hides_no_other(damage: dict[str, object]) -> None:
    whole = entries(Kind.PICK_PLANNED, Kind.ACTIVATION_INTENDED, Kind.ACTIVATION_ASKED)
    found = timeline([whole[0], replace(whole[1], **damage), whole[2]], [note(5)], None)  # type: ignore[arg-type]
    assert [it.changed for it in found] == [False, True, False, False]
    assert [it.entry.place for it in found if it.entry] == [1, 2, 3]


def test_an_erased_value_is_no_damage() -> None:
    (it,) = timeline([replace(entries(Kind.PICK_PLANNED)[0], private=())], [], None)
    assert (it.changed, it.facts) == (False, {})


@given(st.lists(st.sampled_from([*Kind]), max_size=12), st.lists(st.floats(-5, 20), max_size=5), st.randoms())
def test_nothing_is_lost_and_each_source_keeps_its_own_order(
    kinds: list[Kind], notes: list[float], chance: object
) -> None:
    told = [note(after) for after in sorted(notes)]
    found = timeline(entries(*kinds), told, replace(ROLE, started_at=NOON, pending_at=NOON))
    assert [it.entry.place for it in found if it.entry] == list(range(1, len(kinds) + 1))
    assert [it.note for it in found if it.note] == told
    assert len(found) == len(kinds) + len(told) + 3


@given(st.text(), st.text(), st.none() | st.datetimes(timezones=st.just(UTC)), st.text())
def test_whatever_stands_in_an_entry_is_shown(entry: str, digest: str, at: datetime | None, kind: str) -> None:
    (it,) = timeline([Entry(1, None, at, kind, entry, digest)], [], None)
    assert (it.changed, it.at, it.title) == (True, at, kind)


@pytest.mark.parametrize(
    ("kind", "facts", "title"),
    [
        (Kind.ACTIVATION_USABLE, {"usable": True}, "Seen that the role can be used"),
        (Kind.ACTIVATION_USABLE, {"usable": False}, "Not seen that the role can be used"),
        (Kind.APPROVAL_DECIDED, {"decision": "denied"}, "An approver denied on our page"),
        (Kind.APPROVAL_DECIDED, {"decision": "else"}, KINDS[Kind.APPROVAL_DECIDED]),
        (Kind.APPROVAL_DECIDED, {}, KINDS[Kind.APPROVAL_DECIDED]),
    ],
)
def test_what_one_kind_says_in_two_ways_is_told_apart(kind: Kind, facts: dict[str, journal.Fact], title: str) -> None:
    (it,) = timeline(entries(kind, facts=facts), [], None)
    assert it.title == title


def test_notes_say_how_they_are() -> None:
    assert note(1).standing is Standing.WRITTEN
    assert note(1, written=False).standing is Standing.GIVEN_UP
    assert replace(note(1, written=False), due_at=NOON).standing is Standing.DUE


def test_everything_has_its_words() -> None:
    assert set(KINDS) == set(Kind)
    assert set(SOURCES) == set(Source)
    assert Event(None, Source.TICKET, "").facts == {}
    assert set(ENDS) == set(ActivationState) - {
        ActivationState.ASKED,
        ActivationState.PENDING,
        ActivationState.ACTIVE,
        ActivationState.GIVING_BACK,
    }
