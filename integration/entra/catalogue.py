"""Every refusal of the tenant that we know: what it means, whether time helps, who must act, and what to tell them.

docs/errors.md has a table of it. Sources: learn.microsoft.com/rest/api/authorization and
learn.microsoft.com/graph/api/resources/privilegedidentitymanagementv3-overview; codes that the vendor does not document
were seen in answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from integration.entra.errors import (
    EntraError,
    EntraRefused,
    EntraUnavailable,
    NotActive,
    PendingRequestExists,
    RoleAssignmentExists,
    SetupWrong,
    SignInNeeded,
    StepUpNeeded,
    TooEarlyToGiveBack,
)


class Who(StrEnum):
    TECHNICIAN = "technician"
    ADMINISTRATOR = "administrator"
    APPROVER = "approver"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Entry:
    """One code. `helps_to_retry`: the same request may succeed later with nobody doing anything.

    `kind` is the error that it becomes. `phrase` is what a rule adds to the sentence about a policy.
    """

    code: str
    meaning: str
    helps_to_retry: bool
    who: Who
    technician: str
    administrator: str
    kind: type[EntraError] = EntraRefused
    phrase: str = ""


_POLICY = "Your organisation's policy for this role says no: {}."
_NOTHING = "Nothing to do."


def _rule(code: str, meaning: str, who: Who, phrase: str, administrator: str) -> Entry:
    kind = StepUpNeeded if code == "MfaRule" else EntraRefused
    return Entry(code, meaning, False, who, _POLICY.format(phrase), administrator, kind, phrase)


_RULES = (
    _rule(
        "MfaRule",
        "The sign-in showed no second factor.",
        Who.TECHNICIAN,
        "multifactor authentication is missing",
        "If signing in again does not help, see that multifactor authentication is really asked of this person.",
    ),
    _rule(
        "JustificationRule",
        "The request carried no justification.",
        Who.ADMINISTRATOR,
        "a justification is missing",
        "We always send one. Compare the justification in the rules file with what the role's policy asks for.",
    ),
    _rule(
        "TicketingRule",
        "The request carried no ticket number.",
        Who.ADMINISTRATOR,
        "a ticket number is missing",
        "We always send one. Check that `ticket_system` in the settings is not empty.",
    ),
    _rule(
        "ExpirationRule",
        "The duration is longer than the policy's maximum.",
        Who.ADMINISTRATOR,
        "the duration is longer than the policy allows",
        "Shorten the duration in the rules file, or raise the maximum in the role's settings.",
    ),
    _rule(
        "EligibilityRule",
        "No eligibility fits this person, role and scope.",
        Who.ADMINISTRATOR,
        "you are not eligible for this role",
        "Make the technician eligible for the role at this very scope, or take the rule away from them.",
    ),
)
_CODES = (
    Entry(
        "RoleAssignmentRequestPolicyValidationFailed",
        "One or more rules of the role's policy failed; the answer names them.",
        False,
        Who.ADMINISTRATOR,
        "Your organisation's policy for this role says no.",
        "The reason names what failed: compare the role's settings there with the rules file.",
    ),
    Entry(
        "RoleAssignmentRequestAcrsValidationFailed",
        "The policy asks for an authentication context that the sign-in did not show.",
        False,
        Who.TECHNICIAN,
        "Microsoft Entra asks you to confirm that it is you before this role can be activated.",
        "If confirming does not help, check the Conditional Access policy behind the authentication context.",
        StepUpNeeded,
    ),
    Entry(
        "RoleAssignmentExists",
        "The target is active already: by us, by hand or for good.",
        False,
        Who.NOBODY,
        "This role is active for you already.",
        _NOTHING,
        RoleAssignmentExists,
    ),
    Entry(
        "PendingRoleAssignmentRequest",
        "An earlier request for the same target waits for approval or for its start.",
        False,
        Who.APPROVER,
        "An earlier request for this role is still waiting.",
        "An approver decides it, or the technician withdraws it in the portal.",
        PendingRequestExists,
    ),
    Entry(
        "RoleAssignmentRequestExists",
        "Azure has a request under this name. We read it and follow it.",
        True,
        Who.NOBODY,
        "This request was made already; it is looked up.",
        _NOTHING,
    ),
    Entry(
        "ActiveDurationTooShort",
        "The tenant's minimum of five minutes has not passed.",
        True,
        Who.NOBODY,
        "A role can be given back five minutes after it became active.",
        _NOTHING,
        TooEarlyToGiveBack,
    ),
    Entry(
        "RoleAssignmentDoesNotExist",
        "Nothing is active, or it cannot be seen yet.",
        True,
        Who.NOBODY,
        "This role is not active for you.",
        _NOTHING,
        NotActive,
    ),
    *(
        Entry(
            code,
            "The role definition in the request is not known.",
            False,
            Who.ADMINISTRATOR,
            "The role that the rule names does not exist in your organisation. Ask an administrator.",
            "Run `ticket-elevate doctor`; the role was deleted or its id is wrong.",
        )
        for code in ("RoleDefinitionDoesNotExist", "RoleNotFound")
    ),
    Entry(
        "ResourceNotFound",
        "The role, group, scope or request is not known.",
        False,
        Who.ADMINISTRATOR,
        "What the rule names does not exist in your organisation. Ask an administrator.",
        "Run `ticket-elevate doctor`; the role, group or scope was deleted or its id is wrong.",
    ),
    Entry(
        "SubjectNotFound",
        "The person in the request is not known.",
        False,
        Who.ADMINISTRATOR,
        "Microsoft Entra does not know your account. Ask an administrator.",
        "The account was deleted or just made. End its link if it is gone.",
    ),
    Entry(
        "InvalidScope",
        "The scope is not the one that the person is eligible at.",
        False,
        Who.ADMINISTRATOR,
        "You are not eligible for this role at this place. Ask an administrator.",
        "Compare the rule's scope with the scope of the eligibility; both must be the same.",
    ),
    Entry(
        "InvalidRoleAssignmentRequestSchedule",
        "Start or duration of the request are not accepted.",
        False,
        Who.ADMINISTRATOR,
        "Microsoft Entra does not accept the time of this request. Ask an administrator.",
        "Check the clock of the workers' machine and the duration in the rules file.",
    ),
    Entry(
        "MfaAndAcrsConflict",
        "The policy asks for both multifactor authentication and an authentication context.",
        False,
        Who.ADMINISTRATOR,
        "The settings of this role contradict each other. Ask an administrator.",
        "Keep either multifactor authentication or the authentication context in the role's settings.",
    ),
    Entry(
        "AlreadyDecided",
        "Ours: no step of the approval waits any more.",
        False,
        Who.NOBODY,
        "Another approver has decided this already.",
        _NOTHING,
    ),
    Entry(
        "AadPremiumLicenseRequired",
        "The tenant has no licence for Privileged Identity Management.",
        False,
        Who.ADMINISTRATOR,
        "Your organisation lacks the Entra ID P2 or ID Governance licence that roles need.",
        "Buy or assign Microsoft Entra ID P2 or ID Governance.",
        SetupWrong,
    ),
    Entry(
        "PermissionScopeNotGranted",
        "The app registration lacks a consented permission.",
        False,
        Who.ADMINISTRATOR,
        "The app lacks a consented permission in Microsoft Entra. Ask an administrator.",
        "Grant admin consent for the permissions that docs/administrators.md lists, then let people sign in again.",
        SetupWrong,
    ),
    Entry(
        "Authorization_RequestDenied",
        "The directory refuses this person. Right after an activation: not yet.",
        True,
        Who.ADMINISTRATOR,
        "Microsoft Entra does not let you do this, or not yet.",
        "If it lasts, the role does not carry this right, or the app lacks a permission.",
    ),
    Entry(
        "Authentication_RequestFromUnsupportedUserRole",
        "Logs are closed to this person. Right after an activation: not yet.",
        True,
        Who.ADMINISTRATOR,
        "The role does not open the logs for you, or not yet.",
        "If it lasts, the rule's probe does not fit its role: logs need Reports Reader or more.",
    ),
    Entry(
        "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
        "The tenant has no licence for sign-in logs.",
        False,
        Who.ADMINISTRATOR,
        "Your organisation lacks the licence that sign-in logs need.",
        "Take the probe out of the rule, or get Microsoft Entra ID P1.",
        SetupWrong,
    ),
    *(
        Entry(
            code,
            "Azure refuses this person. Just after somebody was added to a group: not yet.",
            True,
            Who.ADMINISTRATOR,
            "Azure does not let you do this, or not yet.",
            "If it lasts, make the technician eligible at this scope; group members appear some minutes late.",
        )
        for code in ("AuthorizationFailed", "InsufficientPermissions")
    ),
    Entry(
        "InvalidAuthenticationToken",
        "The token has expired or was revoked. It is renewed once by itself.",
        True,
        Who.TECHNICIAN,
        "Please sign in with Microsoft again to go on.",
        _NOTHING,
        SignInNeeded,
    ),
    Entry(
        "TooManyRequests",
        "The tenant asks us to slow down. All workers wait, then one tries first.",
        True,
        Who.NOBODY,
        "Microsoft Entra is busy or out of order at the moment; it is tried again.",
        "If it lasts, see in Microsoft Entra which app asks so much.",
        EntraUnavailable,
    ),
)
RULES = {entry.code: entry for entry in _RULES}
CODES = {entry.code: entry for entry in _CODES}
UNKNOWN_TO_ADMINISTRATORS = "Look the code up at Microsoft; with the id, Microsoft's support finds the request."


def entry(code: str) -> Entry | None:
    return CODES.get(code) or RULES.get(code)


def for_administrator(code: str) -> str:
    """What to tell an administrator about `code`; nothing about one that is not Entra's, such as our own."""
    found = entry(code)
    return found.administrator if found else ""


def about_rules(rules: Iterable[str]) -> str:
    """The technician's sentence for the rules of a policy that failed."""
    phrases = (RULES[rule].phrase if rule in RULES else f"the rule {rule} failed" for rule in rules)
    return _POLICY.format("; ".join(phrases))


def unknown(code: str, status: int, request_id: str | None) -> str:
    """The technician's sentence for what is not in here."""
    what = code if code != "unreadable" else f"status {status}"
    tell = f"Tell an administrator the id {request_id}." if request_id else "Ask an administrator."
    return f"Microsoft Entra refused this ({what}). {tell}"
