"""What can go wrong between us and the tenant; str() is a sentence for a technician.

* EntraError
  * EntraUnavailable          try again later, by itself; `outcome_unknown`: look before asking again
  * SignInNeeded              the technician must sign in
    * StepUpNeeded            ... and answer `claims`, the tenant's challenge
  * SignInFailed              this attempt to sign in came to nothing; the technician may try another
  * EntraRefused              the tenant says no; trying again as it is does not help
    * RoleAssignmentExists    already active
    * PendingRequestExists    an earlier request waits
    * TooEarlyToGiveBack      the tenant's minimum has not passed
    * NotActive               nothing to give back
  * SetupWrong                an administrator must act
  * Unsealable                a stored sign-in does not open with our keys; the row is kept

None of them ever carries a vendor's words, a token or a body: only our sentences, checked codes and request ids.
"""

from enum import StrEnum


class Loss(StrEnum):
    """Why a stored sign-in is worth nothing any more."""

    AGE = "age"  # it was not used, or not renewed by its person, for as long as the tenant lets it live
    REVOKED = "revoked"
    DISABLED = "disabled"  # the account itself is off


class EntraError(Exception):
    """A call to the tenant did not do its job. `sentence` == str(self)."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class EntraUnavailable(EntraError):
    """Trying again can help. `after`: seconds to wait, if somebody said how many.

    `outcome_unknown`: the request may have been carried out although we saw no answer. `throttled`: the tenant itself
    asked us to slow down.
    """

    def __init__(
        self, sentence: str, *, after: float | None = None, outcome_unknown: bool = False, throttled: bool = False
    ) -> None:
        super().__init__(sentence)
        self.after = after
        self.throttled = throttled
        self.outcome_unknown = outcome_unknown


class SignInNeeded(EntraError):
    """The technician must sign in. `claims`: JSON to hand to the sign-in, or None for an ordinary one.

    `loss`: the tenant refused the stored sign-in for good, and asking with it again cannot help.
    """

    def __init__(
        self,
        sentence: str = "Please sign in with Microsoft again to go on.",
        *,
        claims: str | None = None,
        loss: Loss | None = None,
    ) -> None:
        super().__init__(sentence)
        self.claims = claims
        self.loss = loss


class StepUpNeeded(SignInNeeded):
    """The tenant asks for more than this sign-in showed. `silently`: a silent refresh with `claims` may satisfy it.

    `final`: the technician has just given it, and was asked again. To send them once more would be a loop.
    """

    def __init__(
        self,
        claims: str,
        sentence: str = "Microsoft Entra asks you to confirm that it is you before this role can be activated.",
        *,
        silently: bool = True,
        final: bool = False,
    ) -> None:
        super().__init__(sentence, claims=claims)
        self.silently = silently
        self.final = final


class SignInFailed(EntraError):
    """This sign-in attempt came to nothing and nothing was stored."""


class EntraRefused(EntraError):
    """The tenant's no. `code` is its own (checked for form), `rules` the policy rules that failed, if it named any."""

    def __init__(
        self, sentence: str, *, code: str, rules: tuple[str, ...] = (), request_id: str | None = None, status: int = 400
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.rules = rules
        self.request_id = request_id
        self.status = status


class RoleAssignmentExists(EntraRefused):
    """The role is active already, by us, by hand or for good."""


class PendingRequestExists(EntraRefused):
    """An earlier request for the same target waits for approval or for its start."""


class TooEarlyToGiveBack(EntraRefused):
    """An activation cannot end in its first five minutes."""


class NotActive(EntraRefused):
    """There is no such activation, or it cannot be seen yet."""


class SetupWrong(EntraError):
    """Neither time nor the technician can mend this: an administrator must."""

    def __init__(self, sentence: str, *, code: str = "", request_id: str | None = None, status: int = 0) -> None:
        super().__init__(sentence)
        self.code = code
        self.request_id = request_id
        self.status = status


class Unsealable(EntraError):
    """A stored sign-in cannot be opened: unknown key, damage, or a blob that belongs to another row."""
