"""People, groups and administrative units: the part of the directory that a client of PIM looks things up in."""

from __future__ import annotations

from flask import Blueprint, Response

from sandbox import answers, refusals, views
from sandbox.bearer import Bearer
from sandbox.people import Person
from sandbox.targets import GROUPS
from sandbox.tenant import Tenant

ME = ("User.Read", "User.ReadWrite", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All")
USERS = ("User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
UNITS = ("AdministrativeUnit.Read.All", "AdministrativeUnit.ReadWrite.All", *USERS[3:])
GROUP = ("GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All", *USERS[3:])


class Directory:
    def __init__(self, tenant: Tenant, bearer: Bearer) -> None:
        self.tenant, self.bearer = tenant, bearer

    def blueprint(self) -> Blueprint:
        part = Blueprint("directory", __name__, url_prefix="/v1.0")
        part.add_url_rule("/me", view_func=self.me)
        part.add_url_rule("/users", view_func=self.users)
        part.add_url_rule("/users/<number>", view_func=self.user)
        part.add_url_rule("/users/<number>/memberOf/microsoft.graph.administrativeUnit", view_func=self.units)
        part.add_url_rule("/groups/<number>", view_func=self.group)
        part.add_url_rule("/me/revokeSignInSessions", view_func=self.revoke, methods=["POST"])
        return part

    def me(self) -> Response:
        return answers.one(views.user(self.bearer.caller(*ME).person), "users/$entity")

    def users(self) -> Response:
        self.bearer.reader(*USERS)
        with self.tenant.lock:
            rows = [views.user(person) for person in self.tenant.people.values()]
        return answers.many(self.tenant, rows, "users")

    def user(self, number: str) -> Response:
        self.bearer.reader(*USERS)
        return answers.one(views.user(self._person(number)), "users/$entity")

    def units(self, number: str) -> Response:
        """The administrative units that a person is in: an OData cast of memberOf."""
        self.bearer.reader(*UNITS)
        person = self._person(number)
        with self.tenant.lock:
            rows = [views.unit(key) for key, members in self.tenant.units.items() if person.key in members]
        return answers.many(self.tenant, rows, "administrativeUnits")

    def group(self, number: str) -> Response:
        self.bearer.reader(*GROUP)
        if number not in GROUPS:
            raise refusals.no_such_object(number)
        return answers.one(views.group(number), "groups/$entity")

    def revoke(self) -> Response:
        """Ends all sign-ins of whoever calls: their refresh tokens are worthless from now on."""
        person = self.bearer.reader("User.RevokeSessions.All", "User.ReadWrite", "User.ReadWrite.All").person
        with self.tenant.lock:
            person.sign_in_generation += 1
        return answers.one({"value": True}, "Edm.Boolean")

    def _person(self, number: str) -> Person:
        person = self.tenant.by_oid(number)
        if person is None:
            person = next((p for p in self.tenant.people.values() if p.upn.lower() == number.lower()), None)
        if person is None:
            raise refusals.no_such_object(number)
        return person
