"""PIM's schedules over Graph: the same verbs for directory roles and for groups, each in its own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response, request

from sandbox import activation, answers, approving, refusals
from sandbox.odata import Row
from sandbox.people import Eligibility, Person
from sandbox.rules import Caller
from sandbox.targets import Target
from sandbox.tenant import Instance, ScheduleRequest, Tenant

MINE = "/filterByCurrentUser(on='<on>')"


@dataclass(frozen=True)
class Words:
    """What one kind of target is called on the wire. `target` reads it out of a body, GraphError when it cannot."""

    kind: str
    base: str
    prefix: str
    types: tuple[str, str, str]
    may_see_eligible: tuple[str, ...]
    may_see_active: tuple[str, ...]
    may_see_requests: tuple[str, ...]
    may_ask: tuple[str, ...]
    target: Callable[[Row], Target]
    eligible: Callable[[Person], list[Eligibility]]
    eligibility: Callable[[Person, Eligibility], Row]
    standing: Callable[[Person], list[Row]]
    instance: Callable[[Instance], Row]
    request: Callable[[ScheduleRequest], Row]
    expand: Callable[[Row], None] | None = None


class Schedules:
    """Eligibilities, active assignments and requests of whoever calls."""

    def __init__(self, tenant: Tenant, caller: Callable[..., Caller], words: Words) -> None:
        self.tenant, self.caller, self.words = tenant, caller, words

    def blueprint(self) -> Blueprint:
        words = self.words
        part = Blueprint(f"{words.kind}_schedules", __name__, url_prefix=words.base)

        # In roles' paths the second word has a capital: roleAssignmentScheduleRequests, assignmentScheduleRequests.
        def first(text: str) -> str:
            return text[0].upper() + text[1:] if words.prefix else text

        requests = f"/{words.prefix}{first('assignmentScheduleRequests')}"
        add = part.add_url_rule
        add(f"/{words.prefix}{first('eligibilityScheduleInstances')}{MINE}", view_func=self.eligibilities)
        add(f"/{words.prefix}{first('assignmentScheduleInstances')}{MINE}", view_func=self.instances)
        add(requests, view_func=self.post, methods=["POST"])
        add(requests + MINE, view_func=self.requests)
        add(f"{requests}/<number>", view_func=self.one)
        add(f"{requests}/<number>/cancel", view_func=self.cancel, methods=["POST"])
        self.context = f"{words.base.removeprefix('/v1.0/')}{requests}/$entity"
        return part

    def eligibilities(self, on: str) -> Response:
        person = self.caller(*self.words.may_see_eligible).person
        _only("principal", on)
        with self.tenant.lock:
            now = self.tenant.clock.now()
            found = [e for e in self.words.eligible(person) if e.end is None or e.end > now]
            rows = [self.words.eligibility(person, e) for e in found]
        return answers.many(self.tenant, rows, self.words.types[0], self.words.expand)

    def instances(self, on: str) -> Response:
        person = self.caller(*self.words.may_see_active).person
        _only("principal", on)
        with self.tenant.lock:
            activation.settle(self.tenant)
            rows = self.words.standing(person)
            rows += [self.words.instance(row) for row in self.tenant.seen(person, self.words.kind)]
        return answers.many(self.tenant, rows, self.words.types[1], self.words.expand)

    def requests(self, on: str) -> Response:
        caller = self.caller(*self.words.may_see_requests)
        _only("principal createdBy approver", on)
        with self.tenant.lock:
            activation.settle(self.tenant)
            rows = [self.words.request(r) for r in self.tenant.requests.values() if self._is_for(caller.person, r, on)]
        return answers.many(self.tenant, rows, self.words.types[2], self.words.expand)

    def _is_for(self, person: Person, asked: ScheduleRequest, on: str) -> bool:
        if asked.what.kind != self.words.kind:
            return False
        return approving.may_decide(asked, person) if on == "approver" else asked.principal == person.oid

    def one(self, number: str) -> Response:
        caller = self.caller(*self.words.may_see_requests)
        with self.tenant.lock:
            row = self.words.request(activation.mine(self.tenant, caller, number, self.words.kind))
        return answers.one(row, self.context)

    def post(self) -> tuple[Response, int]:
        caller = self.caller(*self.words.may_ask)
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            raise refusals.bad_request("Unable to read JSON request payload.")
        with self.tenant.lock:
            action = activation.action_of(body)
            activation.check_license(self.tenant)
            wanted = activation.wanted(body, action, self.words.target(body))
            row = self.words.request(activation.ask(self.tenant, caller, wanted))
        row["isValidationOnly"] = wanted.validation_only
        return answers.one(row, self.context), 201

    def cancel(self, number: str) -> tuple[str, int]:
        caller = self.caller(*self.words.may_ask)
        with self.tenant.lock:
            activation.cancel(self.tenant, caller, number, self.words.kind)
        return "", 204


def texts(body: Row, *names: str) -> list[str]:
    """The properties `names` of a body. GraphError 400 for one that is missing or no text."""
    for name in names:
        if not isinstance(body.get(name), str) or not body[name]:
            raise refusals.bad_request(f"The property '{name}' is missing.")
    return [body[name] for name in names]


def _only(allowed: str, on: str) -> None:
    if on not in allowed.split():
        raise refusals.bad_request(f"Invalid value for the parameter 'on': {on}.")
