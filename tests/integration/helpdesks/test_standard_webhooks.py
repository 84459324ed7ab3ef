"""What a signature must be: trust rows 1, 3, 5 and 6, with the library of the specification's authors as the oracle."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from integration.helpdesks import standard_webhooks
from integration.tickets import SignatureRefused

ASCENDING = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
DESCENDING = "whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="
SIGNED_AT = 1795485600
NOW = datetime.fromtimestamp(SIGNED_AT, UTC)
BODY = b'{"ticket":4821,"event":"assigned"}'
FIRST = "v1,nAB4v4HjBSxCHRtaiiSzrYTKle/MAOsGxgJU6I8qjSs="
ROTATED = "v1,KFi1QROMjqIASUgUdoGJSDtiVqZ71qzt2VAtZbkFkHM= " + FIRST


def headers(signature=FIRST, *, delivery="msg_te_0001", time=str(SIGNED_AT), prefix="webhook"):
    return {f"{prefix}-id": delivery, f"{prefix}-timestamp": time, f"{prefix}-signature": signature}


def verify(head, body=BODY, *, now=NOW, **secrets):
    return standard_webhooks.verify(standard_webhooks.keys(secrets or {"first": ASCENDING}), head, body, now=now)


@pytest.mark.parametrize(
    ("secret", "delivery", "body", "signature"),
    [
        (ASCENDING, "msg_te_0001", BODY, FIRST),
        (
            DESCENDING,
            "msg_te_0002",
            '{"ticket":4821,  "subject":"Zürich – reset"}\n'.encode(),
            "v1,tTLBhgErPVOWXhFlh7SGb1FKqaOEF/CLUMzGjBf12Gg=",
        ),
        (ASCENDING, "msg_te_0003", b"", "v1,KYskAErvcqjjtG2Uw5y3l/+rfJ/FHpbCYDjaELvz9S0="),
        (ASCENDING, "msg_te_0001", BODY, ROTATED),
        (DESCENDING, "msg_te_0001", BODY, ROTATED),
    ],
)
def test_known_signatures_are_taken(secret, delivery, body, signature):
    verified = verify(headers(signature, delivery=delivery), body, only=secret)

    assert verified == standard_webhooks.Verified(delivery, "only")


def test_the_secret_that_matched_is_named_so_that_a_rotation_can_be_watched():
    assert verify(headers(), new=DESCENDING, old=ASCENDING).secret == "old"


@pytest.mark.parametrize("place", ["body", "id", "time", "mac"])
def test_one_flipped_bit_is_refused(place):
    """Trust row 1: every bit of the body, the id, the time and the MAC."""
    good = {"body": BODY, "id": b"msg_te_0001", "time": str(SIGNED_AT).encode(), "mac": FIRST.encode()}
    for bit in range(len(good[place]) * 8):
        bad = bytearray(good[place])
        bad[bit // 8] ^= 1 << bit % 8
        parts = {**good, place: bytes(bad)}
        head = headers(
            parts["mac"].decode("latin-1"), delivery=parts["id"].decode("latin-1"), time=parts["time"].decode("latin-1")
        )
        with pytest.raises(SignatureRefused):
            verify(head, parts["body"])


@pytest.mark.parametrize(("seconds", "taken"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_a_call_may_be_five_minutes_off_and_not_a_second_more(seconds, taken):
    """Trust row 3."""
    now = NOW + timedelta(seconds=seconds)
    if taken:
        assert verify(headers(), now=now)
    else:
        with pytest.raises(SignatureRefused):
            verify(headers(), now=now)


def test_a_delivery_for_another_source_is_refused():
    """Trust row 5."""
    with pytest.raises(SignatureRefused):
        verify(headers(), of_another_source=DESCENDING)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_te_0001,msg_te_0001"},
        {"webhook-id": "msg.te"},
        {"webhook-id": "m" * 129},
        {"webhook-id": "msg_te_0001\n"},
        {"webhook-id": ""},
        {"webhook-timestamp": " 1795485600"},
        {"webhook-timestamp": "1795485600.9"},
        {"webhook-timestamp": "1795485600,1795485600"},
        {"webhook-timestamp": "+1795485600"},
        {"webhook-timestamp": "١٧٩٥٤٨٥٦٠٠"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": ""},
        {"webhook-signature": FIRST + "," + FIRST},
        {"webhook-signature": FIRST + ", " + FIRST},
        {"webhook-signature": "v1," + "é" * 44},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1, v1,"},
        {"webhook-signature": FIRST.replace("v1,", "v2,")},
        {"webhook-signature": "v1a,AAAA " * 8 + FIRST},
    ],
)
def test_headers_out_of_shape_are_refused_with_one_text_for_all(changes):
    """Trust row 1: a forger learns nothing from the answer, and nothing but our own error comes out."""
    with pytest.raises(SignatureRefused) as error:
        verify({**headers(), **changes})

    assert str(error.value) == str(SignatureRefused())


@pytest.mark.parametrize("missing", ["id", "timestamp", "signature"])
@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_each_header_is_needed_and_the_two_name_sets_are_not_mixed(prefix, missing):
    other = {"webhook": "svix", "svix": "webhook"}[prefix]
    head = headers(prefix=prefix)
    value = head.pop(f"{prefix}-{missing}")
    with pytest.raises(SignatureRefused):
        verify(head)
    with pytest.raises(SignatureRefused):
        verify({**head, f"{other}-{missing}": value})


def test_the_names_that_svix_uses_are_taken():
    assert verify(headers(prefix="svix")).delivery_id == "msg_te_0001"


def test_unknown_versions_beside_a_good_signature_are_skipped():
    assert verify(headers("v1a,AAAA v2,BBBB " + FIRST))


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("", "0 bytes"),
        ("whsec_", "0 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "23 bytes"),
        ("not base64, you see", "base64"),
        ("dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", "everybody knows"),
        ("whsec_dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", "everybody knows"),
        (
            base64.b64encode(b"dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==").decode(),
            "everybody knows",
        ),
    ],
)
def test_a_weak_or_known_secret_stops_the_start(secret, says):
    """Trust row 6: the sentence names the secret and does not quote it."""
    with pytest.raises(ValueError, match=says) as error:
        standard_webhooks.keys({"spring": secret})

    assert "'spring'" in str(error.value)
    assert not secret or secret not in str(error.value)


def test_no_secret_at_all_stops_the_start():
    """Trust row 6."""
    with pytest.raises(ValueError, match="at least one"):
        standard_webhooks.keys({})


IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
KNOWN = b"this_secret_is_for_testing_only"
KEYS = st.binary(min_size=24, max_size=64).filter(lambda key: key not in (KNOWN, base64.b64encode(KNOWN)))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(key=KEYS, delivery=IDS, text=TEXTS, late=st.integers(-290, 290), padded=st.booleans())
def test_whatever_the_library_signs_is_taken(key, delivery, text, late, padded):
    encoded = base64.b64encode(key).decode()
    secret = "whsec_" + (encoded if padded else encoded.rstrip("="))
    now = datetime.now(UTC)
    time = now + timedelta(seconds=late)

    signature = Webhook(secret).sign(delivery, time, text)

    head = headers(signature, delivery=delivery, time=str(int(time.timestamp())))
    assert verify(head, text.encode(), now=now, only=secret).delivery_id == delivery


@given(
    data=st.data(),
    delivery=st.one_of(IDS, st.text(max_size=8)),
    time=st.sampled_from(["{}", " {}", "{}.5", "{},{}", "+{}", "0{}", "1", ""]),
    late=st.sampled_from([0, -310, 310, -250, 250]),
    text=TEXTS,
)
def test_nothing_is_taken_that_the_library_refuses(data, delivery, time, late, text):
    now = datetime.now(UTC)
    moment = now + timedelta(seconds=late)
    good = Webhook(ASCENDING).sign(delivery, moment, text)
    words = st.sampled_from([good, good[:-1], good + ",", "v1", "v1,", "v2," + good[3:], FIRST, "v1a,AAAA", "", "é,é"])
    signature = " ".join(data.draw(st.lists(words, max_size=10)))
    seconds = int(moment.timestamp())
    head = headers(signature, delivery=delivery, time=time.format(seconds, seconds))

    try:
        verify(head, text.encode(), now=now)
    except SignatureRefused:
        return

    try:
        Webhook(ASCENDING).verify(text, head, json_parse=False)
    except (WebhookVerificationError, ValueError) as e:  # it answers bad shapes with ValueError
        pytest.fail(f"the library refuses it: {e}")
