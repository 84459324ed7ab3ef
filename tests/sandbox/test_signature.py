"""The sender signs as the Standard Webhooks specification's vectors say."""

from __future__ import annotations

import pytest

from sandbox.sender import signature


@pytest.mark.parametrize(
    ("secret", "number", "timestamp", "body", "expected"),
    [
        (
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
            "msg_te_0001",
            1795485600,
            b'{"ticket":4821,"event":"assigned"}',
            "v1,nAB4v4HjBSxCHRtaiiSzrYTKle/MAOsGxgJU6I8qjSs=",
        ),
    ],
)
def test_a_signature_equals_its_vector(secret: str, number: str, timestamp: int, body: bytes, expected: str) -> None:
    assert signature(secret, number, timestamp, body) == expected
