"""A page of several kinds of target shows what can be read, and says in words what cannot."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask_babel import gettext as _

from integration.entra.errors import EntraError, EntraUnavailable, SignInNeeded
from integration.targets import TargetKind
from webhooks.role_words import titles


@dataclass(frozen=True)
class Unread:
    """A kind of target whose source did not answer. `why` is a sentence."""

    kind: TargetKind
    why: str

    @property
    def name(self) -> str:
        return titles()[self.kind]


def in_words(errors: Mapping[TargetKind, EntraError], *, rest: bool) -> list[Unread]:
    """What to say of these `errors` beside the `rest`, which answered. Without one there is nothing to show, and one of
    them is raised: that somebody must sign in, before anything else.
    """
    if errors and not rest:
        raise min(errors.values(), key=lambda error: not isinstance(error, SignInNeeded))
    return [Unread(kind, _why(error)) for kind, error in errors.items()]


def _why(error: EntraError) -> str:
    if isinstance(error, EntraUnavailable):
        return str(_("Their source does not answer. Reload this page in a minute."))
    return str(error)
