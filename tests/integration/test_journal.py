"""The journal's bytes: every vector of the trust sheet, what may be recorded, and that time never falls."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from integration.journal import (
    Checkpoint,
    CheckpointRefused,
    EntryRefused,
    Kind,
    TailBroken,
    WitnessUnreadable,
    append,
    checkpoint_hash,
    commit,
    empty,
    entry_hash,
    genesis,
    key_id,
    key_name,
    new_log,
    parse_witness,
    read_checkpoint,
    sign_checkpoint,
    tail_of,
    witness,
)

LOG = "te-9f2c41d07a6be358"
HASH = "23f430da6a901b27f318a26aa0d2a6a02b2330dcd2a8cd312be4382d76370ea9"
AT = datetime(2026, 11, 24, 9, 0, 2, 103487, tzinfo=UTC)


def test_the_genesis_is_the_vectors():
    assert genesis(LOG) == "f2ac890d8e6a5f371694ef437dd2047289f4f5775e5ed8c450baf5275746a85a"


def test_the_commitments_are_the_vectors():
    actor = commit(bytes(range(32)), "actor", "11111111-aaaa-4bbb-8ccc-000000000001")
    justification = commit(bytes(range(32, 64)), "justification", "TKT-4821: password reset")

    assert actor == "0b8d99e9c5318a151330f481e7bb563b12d1408fe7da61049c72c0c48094caa2"
    assert justification == "ae7b3450873d2dd9341e7a463830d15e5f616eeeee6eb972263b534ae5c48a2f"


def test_the_first_entry_has_the_vectors_length_and_hash(vector):
    assert (len(vector.entry_json.encode()), vector.hash) == (642, HASH)


def test_the_entry_has_exactly_the_keys_of_the_sheet(vector):
    keys = {"v", "log", "seq", "at", "kind", "elevation", "activation", "cause", "facts", "private", "prev"}
    assert set(json.loads(vector.entry_json)) == keys


def test_the_witness_shows_128_bits_and_is_read_back_from_a_comment():
    line = witness(18231, HASH)

    assert line == "Journal 18231 23f430da 6a901b27 f318a26a a0d2a6a0"
    assert parse_witness(f"Active until 10:30.\n\nElevation 01JDEMO. {line}\n") == (18231, HASH[:32])
    assert parse_witness("> " + line.replace(" f318", "\n f318")) == (18231, HASH[:32])


@pytest.mark.parametrize("text", ["", "Journal 12 23f430da 6a901b27", "Journal 0 " + "a" * 8, "Journal x 1 2 3 4"])
def test_a_text_without_a_whole_witness_is_refused(text):
    with pytest.raises(WitnessUnreadable):
        parse_witness(text)


def test_the_checkpoint_is_the_vector(key):
    name = key_name("elevate.example", LOG)
    note = sign_checkpoint(Checkpoint(LOG, 1, HASH, datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC)), key, name=name)

    assert key_id(name, key.public_key().public_bytes_raw()).hex() == "e29099a7"
    assert note == (
        f"ticket-elevate/journal/checkpoint/v1\n{LOG}\n1\n{HASH}\n2026-11-24T23:59:59Z\n{'0' * 64}\n\n"
        f"\u2014 elevate.example/{LOG} "
        "4pCZp8xzbWcVMACRGSZSbsufiaLk6wdWP/DNKQRHBi6kBz16SQYv7esygJQ1BPD0jOy28jvovGOq3U/Qlu5qyyJpzAo=\n"
    )


def test_a_checkpoint_is_read_back_and_names_the_one_before(key):
    name = key_name("elevate.example", LOG)
    first = sign_checkpoint(Checkpoint(LOG, 1, HASH, AT.replace(microsecond=0)), key, name=name)
    second = Checkpoint(LOG, 1, HASH, AT.replace(microsecond=0) + timedelta(days=1), checkpoint_hash(first))

    assert read_checkpoint(sign_checkpoint(second, key, name=name), key.public_key(), name=name) == second


def test_a_checkpoint_with_any_byte_changed_is_refused(key):
    name = key_name("elevate.example", LOG)
    note = sign_checkpoint(Checkpoint(LOG, 1, HASH, AT), key, name=name).encode()

    for i in range(len(note) - 1):  # not the last line end, which no signature covers
        changed = note[:i] + bytes([note[i] ^ 1]) + note[i + 1 :]
        with pytest.raises((CheckpointRefused, UnicodeDecodeError)):
            read_checkpoint(changed.decode(), key.public_key(), name=name)


def test_time_never_falls_when_the_clock_does(vector):
    """Trust row 44."""
    later = append(vector.tail, at=AT - timedelta(minutes=10), kind=Kind.ACTIVATION_ASKED, cause="sweep")

    assert json.loads(later.entry_json)["at"] == "2026-11-24T09:00:02.103487Z"
    assert later.at == AT


def test_a_whole_second_still_has_six_digits():
    entry = append(empty(LOG), at=datetime(2026, 1, 2, tzinfo=UTC), kind=Kind.LINK_MADE, cause="click")
    assert json.loads(entry.entry_json)["at"] == "2026-01-02T00:00:00.000000Z"


@pytest.mark.parametrize(
    "facts",
    [
        {"n": 2**53},
        {"n": -(2**53)},
        {"n": 1.5},
        {"n": [1]},
        {"n": {"m": 1}},
        {"n": "\ud800"},
        {"n": "a\x00b"},
        {"rôle": "x"},
        {"": "x"},
    ],
)
def test_what_readers_could_disagree_about_is_not_recorded(facts):
    with pytest.raises(EntryRefused):
        append(empty(LOG), at=AT, kind=Kind.PICK_PLANNED, cause="click", facts=facts)


@pytest.mark.parametrize(
    "cause", ["queue", "", "delivery:", "delivery:a b", "delivery:" + "a" * 129, "sweep\n", "Click"]
)
def test_a_cause_is_one_of_the_closed_list(cause):
    with pytest.raises(EntryRefused):
        append(empty(LOG), at=AT, kind=Kind.PICK_PLANNED, cause=cause)


def test_texts_are_recorded_in_nfc():
    entry = append(
        empty(LOG),
        at=AT,
        kind=Kind.PICK_PLANNED,
        cause="click",
        facts={"rule": "re\u0301"},
        private={"actor": "u\u0308"},
    )

    assert json.loads(entry.entry_json)["facts"]["rule"] == "r\u00e9"
    assert entry.opened[0].value == "\u00fc"


def test_a_time_without_its_zone_is_refused():
    with pytest.raises(EntryRefused):
        append(empty(LOG), at=datetime(2026, 1, 2), kind=Kind.PICK_PLANNED, cause="click")  # noqa: DTZ001 - the mistake


def test_each_private_value_has_its_own_salt_and_is_not_in_the_entry():
    entry = append(
        empty(LOG), at=AT, kind=Kind.PICK_PLANNED, cause="click", private={"actor": "canary-a", "ticket": "canary-b"}
    )

    assert "canary" not in entry.entry_json
    assert len({o.salt for o in entry.opened}) == 2
    assert json.loads(entry.entry_json)["private"] == {o.name: commit(o.salt, o.name, o.value) for o in entry.opened}


def test_a_stored_tail_is_taken_up_again(vector):
    assert tail_of(vector.entry_json, vector.hash) == vector.tail


def test_a_changed_tail_refuses_to_go_on(vector):
    with pytest.raises(TailBroken, match="does not have its hash"):
        tail_of(vector.entry_json.replace("3600", "3601"), vector.hash)


def test_logs_have_names_of_their_own():
    assert new_log() != new_log()
    assert genesis(new_log())


def test_every_kind_is_explained_to_auditors():
    page = (Path(__file__).parents[2] / "docs" / "journal.md").read_text("utf-8")
    assert [kind for kind in Kind if f"`{kind}`" not in page] == []


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,9}", fullmatch=True),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**53) + 1, 2**53 - 1),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
        ),
    )
)
def test_whatever_facts_there_are_the_bytes_are_canonical_and_hashed(facts):
    entry = append(empty(LOG), at=AT, kind=Kind.PICK_PLANNED, cause="click", facts=facts)

    assert rfc8785.dumps(json.loads(entry.entry_json)) == entry.entry_json.encode()
    assert entry_hash(entry.entry_json.encode()) == entry.hash
    assert entry.hash == hashlib.sha256(b"ticket-elevate/journal/entry/v1\0" + entry.entry_json.encode()).hexdigest()


@pytest.fixture
def vector():
    salts = iter([bytes(range(32)), bytes(range(32, 64))])
    return append(
        empty(LOG),
        at=AT,
        kind=Kind.ACTIVATION_INTENDED,
        elevation="01JDEMO0000000000000000001",
        cause="delivery:msg_te_0001",
        facts={
            "duration_seconds": 3600,
            "rule": "password-reset",
            "rules_digest": "0" * 64,
            "target": "entra-role:966707d0-3269-4727-9be2-8c3a10f19b9d@/",
        },
        private={"justification": "TKT-4821: password reset", "actor": "11111111-aaaa-4bbb-8ccc-000000000001"},
        random=lambda _: next(salts),
    )


@pytest.fixture
def key():
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
