"""Trust row 46: JSON that would be read in more than one way, or would break the reader, is not read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.helpdesks.hostile_json import delivery_object, parse
from integration.tickets import DeliveryUnreadable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a":1,"a":2}',
        b'{"b":{"a":1,"\\u0061":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 4_300 + b"}",
        b'{"a":' + b"9" * 41 + b"}",
        b'{"a":0.' + b"1" * 5_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 65 + b"]" * 65 + b"}",
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        '{"a":1}'.encode("utf-16"),
        b"ticket=4821",
    ],
)
def test_a_body_that_is_not_one_plain_object_is_refused(body):
    """Trust row 46."""
    with pytest.raises(DeliveryUnreadable) as error:
        delivery_object(body)

    assert len(str(error.value)) < 120  # and nothing of it is quoted
    assert error.value.__context__ is None or error.value.__suppress_context__


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_ordinary_json_is_read_as_json_reads_it(value):
    assert parse(json.dumps(value).encode()) == value
