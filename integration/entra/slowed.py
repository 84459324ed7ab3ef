"""What of the tenant is slowed down each for itself, when it asks to wait (see integration/brake.py)."""

from integration.brake import Brake, BrakeStore
from integration.entra.errors import EntraError, EntraUnavailable

GRAPH, ARM, TOKENS = "graph", "arm", "tokens"
_BUSY = "Microsoft Entra asked us to wait a little; it is tried again by itself."


def brake(store: BrakeStore | None) -> Brake:
    return Brake(
        store,
        unavailable=EntraUnavailable,
        answered=EntraError,
        busy=lambda after: EntraUnavailable(_BUSY, after=after),
    )
