"""What connects Request Tracker: an extension on the machine that it runs on, so that is left by hand."""

from collections.abc import Sequence
from pathlib import Path

from integration.helpdesks.setup import ByHand, Place, standard_secret

EXTENSION = Path(__file__).parent / "rt"


class RequestTrackerSetup(ByHand):
    asks = ("category_field",)
    new_secret = staticmethod(standard_secret)

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:  # noqa: ARG002
        return (
            f"Copy {EXTENSION} and {secret} to the machine that Request Tracker runs on, the latter as "
            "/etc/request-tracker5/ticket-elevate.secret with the mode 0400, owned by the user of its web server.",
            f"There, as root, in that folder: sh install.sh --webhook {place.webhook} --page "
            f"'{place.page('{ticket}')}'. Name the queues with --queue, or all of them tell us.",
            "Then restart Request Tracker's web server.",
        )
