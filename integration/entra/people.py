"""People in the directory: the technician, and whom a ticket is about."""

from dataclasses import dataclass
from urllib.parse import quote

from integration.entra.pim import text
from integration.entra.schedules import quoted
from integration.entra.transport import Transport
from integration.targets import Affected


@dataclass(frozen=True)
class Me:
    """The technician as the directory has them."""

    oid: str
    upn: str
    mail: str | None

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(a.lower() for a in (self.upn, self.mail or "") if a)


class People:
    def __init__(self, graph: Transport) -> None:
        self._graph = graph

    def me(self, token: str) -> Me:
        # otherMails is left out on purpose: people may set it themselves, and who sets it to a colleague's address
        # would be taken for the colleague at the helpdesk.
        user = self._graph.call("GET", "/me", token, params={"$select": "id,userPrincipalName,mail"})
        return Me(text(user, "id"), text(user, "userPrincipalName"), text(user, "mail") or None)

    def affected(self, token: str, address: str) -> Affected | None:
        """None where nobody, or more than one, goes by this address.

        Source: learn.microsoft.com/graph/api/user-list-memberof.
        """
        wanted = quoted(address)
        params = {"$filter": f"mail eq {wanted} or userPrincipalName eq {wanted}", "$select": "id"}
        found = {text(user, "id") for user in self._graph.items("/users", token, params=params)} - {""}
        if len(found) != 1:
            return None
        user_id = found.pop()
        path = f"/users/{quote(user_id, safe='')}/memberOf/microsoft.graph.administrativeUnit"
        units = (text(unit, "id") for unit in self._graph.items(path, token, params={"$select": "id"}))
        return Affected(user_id, frozenset(units) - {""})

    def revoke_sessions(self, token: str) -> None:
        """End the technician's refresh tokens, this app's among them.

        Source: learn.microsoft.com/graph/api/user-revokesigninsessions.
        """
        self._graph.call("POST", "/me/revokeSignInSessions", token)
