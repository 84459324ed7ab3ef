"""The lives of elevations and activations, walked at random.

Contract: only the arrows of the two tables are taken; whatever is open will be looked at again; what has ended never
changes; every open state can come to an end.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from integration.elevation import (
    ACTIVATION_MOVES,
    END_WORDS,
    HOLDING,
    LABELS,
    MOVES,
    OPEN,
    OPEN_ACTIVATION,
    Activation,
    ActivationState,
    Elevation,
    EndReason,
    IllegalMove,
    State,
    backoff,
    give_back_at,
    move,
    move_activation,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TIMES = st.one_of(st.none(), st.timedeltas(timedelta(), timedelta(days=2)).map(lambda by: NOON + by))


def elevation(state: State = State.REQUESTED) -> Elevation:
    return Elevation("E1", "practice", "4821", "technician", "h1", state, 1, NOON, NOON)


def activation(state: ActivationState = ActivationState.ASKED) -> Activation:
    return Activation("A1", "T", "O", "directory_role:R:/", "Role", state, 1, NOON, NOON, 1800, "why", "4821")


class Lives(RuleBasedStateMachine):
    """Tries every move at every moment, the forbidden ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.elevation, self.activation = elevation(State.OFFERED), activation()

    @rule(to=st.sampled_from(State), due_at=TIMES)
    def move_the_elevation(self, to: State, due_at: datetime | None) -> None:
        before = self.elevation
        allowed = to in MOVES[before.state] and (due_at is not None) == (to in OPEN)
        try:
            self.elevation = move(before, to, due_at=due_at)
        except IllegalMove:
            assert not allowed
            return
        assert allowed
        assert before.state in OPEN, "what has ended changed"
        assert self.elevation.attempts == 0

    @rule(to=st.sampled_from(ActivationState), due_at=TIMES)
    def move_the_activation(self, to: ActivationState, due_at: datetime | None) -> None:
        before = self.activation
        allowed = to in ACTIVATION_MOVES[before.state] and (due_at is not None) == (to in OPEN_ACTIVATION)
        try:
            self.activation = move_activation(before, to, due_at=due_at)
        except IllegalMove:
            assert not allowed
            return
        assert allowed
        assert before.state in OPEN_ACTIVATION, "what has ended changed"

    @invariant()
    def whatever_is_open_will_be_looked_at_again(self) -> None:
        assert (self.elevation.due_at is not None) == (self.elevation.state in OPEN)
        assert (self.activation.due_at is not None) == (self.activation.state in OPEN_ACTIVATION)

    @invariant()
    def an_end_can_be_reached(self) -> None:
        assert reaches_an_end(self.elevation.state, MOVES)
        assert reaches_an_end(self.activation.state, ACTIVATION_MOVES)


def reaches_an_end(start, moves) -> bool:
    seen, now = set(), [start]
    while now:
        state = now.pop()
        if not moves[state]:
            return True
        now += [to for to in moves[state] if to not in seen]
        seen |= moves[state]
    return False


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_label_and_its_moves(state):
    assert LABELS[state]
    assert state in MOVES


@pytest.mark.parametrize("state", ActivationState)
def test_every_state_of_an_activation_has_its_moves(state):
    assert state in ACTIVATION_MOVES


@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_to_end_has_words(reason):
    assert END_WORDS[reason]


def test_an_elevation_that_was_active_is_given_back_and_never_just_cancelled():
    assert MOVES[State.ACTIVE] == {State.ENDING, State.ENDED}


def test_who_waits_or_is_active_keeps_the_role():
    assert set(HOLDING) == {State.WAITING, State.PENDING, State.ACTIVE}
    assert HOLDING <= OPEN


def test_a_refused_move_names_both_states_in_a_sentence():
    with pytest.raises(IllegalMove, match="an elevation that is ended cannot become active"):
        move(elevation(State.ENDED), State.ACTIVE, due_at=NOON)


@given(st.integers(-5, 10_000), st.floats(0.1, 60), st.floats(60, 7200))
def test_waiting_grows_and_has_a_limit(attempts, first, most):
    wait, longer = backoff(attempts, first=first, most=most), backoff(attempts + 1, first=first, most=most)

    assert timedelta() < wait <= longer <= timedelta(seconds=most)


@given(st.timedeltas(timedelta(), timedelta(days=1)))
def test_a_role_is_given_back_when_the_tenants_minimum_after_its_start_has_passed(minimum):
    started = replace(activation(), started_at=NOON + timedelta(seconds=3))

    assert give_back_at(started, minimum=minimum) == NOON + timedelta(seconds=3) + minimum
    assert give_back_at(activation(), minimum=minimum) == NOON + minimum
