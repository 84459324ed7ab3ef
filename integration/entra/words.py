"""Token endpoint answers in our terms: who must act, in words. Classified by `error`, then by `claims`.

The numbers in an answer (AADSTS...) choose words only: Microsoft changes numbers and texts.
"""

import re
from collections.abc import Mapping
from typing import Any

from integration.entra import claims
from integration.entra.errors import EntraError, EntraUnavailable, Loss, SetupWrong, SignInNeeded, StepUpNeeded

_NUMBER = re.compile(r"AADSTS(\d{4,8})")
_INTERACTIVE = {"invalid_grant", "interaction_required", "login_required", "consent_required"}
_SETUP = {"invalid_client", "unauthorized_client", "invalid_scope", "invalid_resource"}

_BLOCKED = (
    "Your organisation's Conditional Access refuses this sign-in{}. "
    "Signing in again will not help by itself: ask an administrator."
)
_WORDS = {
    50076: "Your organisation asks for multifactor authentication. Please sign in again.",
    50079: "You must register a second factor with Microsoft first. Please sign in again and follow the steps.",
    50074: "Your multifactor authentication is missing. Please sign in again.",
    50078: "Your multifactor authentication is too old. Please sign in again.",
    50158: "Your organisation asks for one more confirmation. Please sign in again.",
    53000: _BLOCKED.format(" because this device is not compliant"),
    53001: _BLOCKED.format(" because this device is not joined"),
    53002: _BLOCKED.format(" because this app is not approved"),
    53003: _BLOCKED.format(""),
    65001: "The app has not been given consent in your organisation. An administrator must grant it.",
    65004: "The consent was declined, so nothing was stored.",
    700082: "Your sign-in was not used for a long time and ended. Please sign in again.",
    50173: "Your sessions were revoked. Please sign in again.",
    70043: "Your organisation asks you to sign in again from time to time. Please sign in again.",
    50057: "Your account is disabled. Ask an administrator.",
    50105: "Your account is not assigned to this app. Ask an administrator.",
    54005: "This sign-in was already used. Please start again.",
    50196: "Microsoft stopped this app because it asked the same thing too often. Please sign in again later.",
}
_AGED = {70043, 700082, 700084}
_DISABLED = {50057}
# invalid_grant as well, and the refresh token lives on: consent, Conditional Access, a loop that was stopped.
_LIVES_ON = {65001, 65004, 53000, 53001, 53002, 53003, 50196}


def numbers(answer: Mapping[str, Any]) -> list[int]:
    """The AADSTS numbers of a token or callback answer."""
    given = answer.get("error_codes")
    if isinstance(given, list) and given:
        return [number for number in given if isinstance(number, int)]
    return [int(digits) for digits in _NUMBER.findall(str(answer.get("error_description", ""))[:500])]


def sentence(answer: Mapping[str, Any], default: str) -> str:
    return next((_WORDS[number] for number in numbers(answer) if number in _WORDS), default)


def refused(answer: Mapping[str, Any]) -> EntraError:
    """The error for a refused refresh (msal.md section 3). `answer` is MSAL's dict with `error`."""
    error = str(answer.get("error", ""))
    if error in _SETUP:
        code = f"AADSTS{numbers(answer)[0]}" if numbers(answer) else error
        return SetupWrong(f"Microsoft Entra does not accept this app's registration ({code}). Ask an administrator.")
    if error in _INTERACTIVE:
        asked = answer.get("claims")
        challenge = claims.checked(asked) if isinstance(asked, str) else None
        if challenge:
            return StepUpNeeded(
                challenge, sentence(answer, "Please confirm with Microsoft that it is you."), silently=False
            )
        return SignInNeeded(
            sentence(answer, "Your Microsoft sign-in has ended. Please sign in again."), loss=_loss(error, answer)
        )
    return EntraUnavailable("Microsoft Entra does not give out sign-ins at the moment; it is tried again.")


def _loss(error: str, answer: Mapping[str, Any]) -> Loss | None:
    """Unknown numbers count as revoked: whoever may have been shut out has to show that they were not."""
    found = set(numbers(answer))
    if error != "invalid_grant" or found & _LIVES_ON:
        return None
    if found & _DISABLED:
        return Loss.DISABLED
    return Loss.AGE if found & _AGED else Loss.REVOKED
