"""Graph's refusals (entra-pim sheet, section 3)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote


class GraphError(Exception):
    """An answer other than success: HTTP status, Graph's code, Graph's message, extra headers."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


def rules_failed(rules: Iterable[str]) -> GraphError:
    names = json.dumps(list(rules), separators=(",", ":"))
    return GraphError(400, "RoleAssignmentRequestPolicyValidationFailed", f"The following policy rules failed: {names}")


def already_active() -> GraphError:
    return GraphError(400, "RoleAssignmentExists", "The Role assignment already exists.")


def already_pending() -> GraphError:
    message = "There is already an existing pending Role assignment request."
    return GraphError(400, "PendingRoleAssignmentRequest", message)


def not_active() -> GraphError:
    return GraphError(400, "RoleAssignmentDoesNotExist", "The Role assignment does not exist.")


def too_early() -> GraphError:
    # Their spelling.
    message = "The Active duration is too short. Miniumum Required is 5 minutes."
    return GraphError(400, "ActiveDurationTooShort", message)


def context_missing(context: str, shape: str) -> GraphError:
    """The authentication-context challenge in either of the two shapes that were seen."""
    claims = json.dumps({"access_token": {"acrs": {"essential": True, "value": context}}}).replace(
        '"access_token": {"acrs": {"essential": true', '"access_token":{"acrs":{"essential":true'
    )
    code, message = "RoleAssignmentRequestAcrsValidationFailed", "&claims=" + quote(claims, safe="")
    if shape == "nested":
        return GraphError(400, "UnknownError", json.dumps({"errorCode": code, "message": message}))
    return GraphError(400, code, message)


def scope_missing(scope: str) -> GraphError:
    inner = {
        "errorCode": "PermissionScopeNotGranted",
        "message": f"Authorization failed due to missing permission scope {scope}.",
    }
    return GraphError(403, "UnknownError", json.dumps(inner, separators=(",", ":")))


def denied() -> GraphError:
    return GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def unsupported_role() -> GraphError:
    return GraphError(403, "Authentication_RequestFromUnsupportedUserRole", "User is not in the allowed roles")


def bad_token(message: str, challenge: str = "") -> GraphError:
    header = (
        challenge or 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
    )
    if not challenge:
        header += ', error="invalid_token"'
    return GraphError(401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": header})


def bad_request(message: str) -> GraphError:
    return GraphError(400, "BadRequest", message)


def not_found(what: str) -> GraphError:
    return GraphError(404, "ResourceNotFound", f"The resource {what} could not be found.")


def no_such_object(number: str) -> GraphError:
    message = f"Resource '{number}' does not exist or one of its queried reference-property objects are not present."
    return GraphError(404, "Request_ResourceNotFound", message)
