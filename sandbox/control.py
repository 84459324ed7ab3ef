"""The control API under /_practice/: makes both sides misbehave, moves the clock, shows what was received."""

from __future__ import annotations

import base64
import io
import json
import secrets
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox import activation, approving, audit, targets, views
from sandbox.clock import Clock, parse, plain
from sandbox.credentials import Credentials
from sandbox.desk import Desk
from sandbox.people import Eligibility, Person
from sandbox.refusals import GraphError
from sandbox.roles import role_id
from sandbox.sender import Message, Sender
from sandbox.tenant import Tenant
from sandbox.tokens import Keys
from sandbox.traffic import Fault, Traffic

CHANGEABLE = (
    "enabled",
    "mail",
    "helpdesk_mail",
    "helpdesk_active",
    "upn",
    "name",
    "agent",
    "app_roles",
    "silent_step_up",
    "refresh_needs_mfa",
    "edge_context",
)
SETTINGS = (
    "refresh_loses_context",
    "active_minimum",
    "instance_delay",
    "audit_delay",
    "one_time_refresh_tokens",
    "scope_echo",
    "token_lifetime",
    "licensed",
    "release_delay",
    "arm_release_delay",
    "arm_list_delay",
    "arm_policies_readable",
    "role_delay",
    "expired_status",
)


class Control:
    def __init__(
        self,
        clock: Clock,
        traffic: Traffic,
        tenant: Tenant,
        keys: Keys,
        desk: Desk,
        sender: Sender,
        credentials: Credentials,
    ) -> None:
        self.clock, self.traffic, self.tenant, self.keys = clock, traffic, tenant, keys
        self.desk, self.sender, self.credentials = desk, sender, credentials

    def blueprint(self) -> Blueprint:
        part = Blueprint("practice", __name__, url_prefix="/_practice")
        posts: dict[str, Callable[..., Any]] = {
            "/clock": self.move_clock,
            "/faults": self.add_faults,
            "/policies/<path:role>": self.change_policy,
            "/people/<key>": self.change_person,
            "/units": self.change_units,
            "/settings": self.change_settings,
            "/consent": self.change_consent,
            "/requests/<number>": self.decide,
            "/audit": self.add_audit,
            "/keys": self.roll_keys,
            "/federation": self.federate,
            "/webhooks": self.change_webhooks,
            "/webhooks/repeat": self.repeat_webhook,
            "/webhooks/sign": self.sign_webhook,
            "/tickets/assign-by-rule": self.assign_by_rule,
            "/tickets/together": self.add_together,
            "/tickets/notes": self.add_notes,
            "/tickets/hide": self.hide_tickets,
            "/elevate-url": self.change_elevate_url,
            "/app": self.install_app,
            "/reset": self.reset,
        }
        for path, view in posts.items():
            part.add_url_rule(path, view_func=view, methods=["POST"])
        part.add_url_rule("/tickets/<number>", view_func=self.delete_ticket, methods=["DELETE"])
        part.add_url_rule("/faults", view_func=self.clear_faults, methods=["DELETE"])
        part.add_url_rule("/log", view_func=self.log)
        part.add_url_rule("/state", view_func=self.state)
        part.register_error_handler(ValueError, _bad)
        part.register_error_handler(KeyError, _bad)
        part.register_error_handler(TypeError, _bad)
        part.register_error_handler(GraphError, _refused)
        return part

    def move_clock(self) -> Response:
        self.clock.advance(float(_body()["advance_seconds"]))
        with self.tenant.lock:
            activation.settle(self.tenant)
        return jsonify(now=plain(self.clock.now()))

    def add_faults(self) -> Response:
        given = request.get_json()
        for one in given if isinstance(given, list) else [given]:
            match = one.pop("match", {})
            unknown = (set(one) | set(match)) - set(Fault.__dataclass_fields__)
            if unknown:
                raise ValueError(f"A fault has no {', '.join(sorted(unknown))}.")
            self.traffic.faults.append(Fault(**match, **one))
        return jsonify(faults=[asdict(f) for f in self.traffic.faults])

    def clear_faults(self) -> Response:
        self.traffic.faults.clear()
        return jsonify(faults=[])

    def change_policy(self, role: str) -> Response:
        with self.tenant.lock:
            body = _body()
            policy = self.tenant.policy(targets.named(role, body.pop("scope", None)).policy_key)
            for key in body.get("approvers", []):
                self.tenant.people[key]  # noqa: B018  KeyError names one who does not exist
            policy.change(body)
            return jsonify(asdict(policy))

    def change_person(self, key: str) -> Response:
        with self.tenant.lock:
            person = self.tenant.people[key]
            for name, value in _body().items():
                self._change(person, name, value)
            return jsonify(person.public())

    def _change(self, person: Person, name: str, value: Any) -> None:
        if name == "silent_step_up" and value not in ("refuse", "ignore", "grant"):
            raise ValueError("silent_step_up is refuse, ignore or grant.")
        if name in CHANGEABLE:
            setattr(person, name, value)
        elif name == "revoke_sign_ins" and value:
            person.sign_in_generation += 1
        elif name == "expire_access_tokens" and value:
            person.token_generation += 1
        elif name == "eligible":
            person.eligible = [_eligibility(item) for item in value]
        elif name == "groups":
            person.groups = [_group_eligibility(item) for item in value]
        elif name == "standing":
            person.standing = [role_id(item) for item in value]
        else:
            raise ValueError(f"A person has no {name!r} to change.")

    def change_units(self) -> Response:
        """Administrative units and who is in them; one without people is gone."""
        with self.tenant.lock:
            for name, keys in _body().items():
                self.tenant.units[name] = [self.tenant.people[key].key for key in keys]
            self.tenant.units = {name: keys for name, keys in self.tenant.units.items() if keys}
            return jsonify(self._units())

    def _units(self) -> dict[str, Any]:
        units = self.tenant.units.items()
        return {name: {"id": targets.unit_id(name), "members": list(keys)} for name, keys in units}

    def change_settings(self) -> Response:
        for name, value in _body().items():
            if name not in SETTINGS:
                raise ValueError(f"There is no setting {name!r}; there are {', '.join(SETTINGS)}.")
            setattr(self.tenant, name, value)
        return jsonify({name: getattr(self.tenant, name) for name in SETTINGS})

    def change_consent(self) -> Response:
        body = _body()
        self.tenant.consented |= {s.lower() for s in body.get("grant", [])}
        self.tenant.consented -= {s.lower() for s in body.get("withdraw", [])}
        return jsonify(consented=sorted(self.tenant.consented))

    def decide(self, number: str) -> Response:
        """Approves or denies a pending request, or gives any request a status of one's own."""
        body = _body()
        with self.tenant.lock:
            if "status" in body:
                self.tenant.requests[number].status = str(body["status"])
            else:
                asked = approving.of(self.tenant, number)
                approver = self.tenant.people[body.get("by") or asked.approvers[0]]
                result = {"approve": "Approve", "deny": "Deny"}[body["decision"]]
                activation.decide_approval(self.tenant, number, approver, result, str(body.get("reason", "")))
            return jsonify(status=self.tenant.requests[number].status)

    def add_audit(self) -> Response:
        """A row for work that a person did with a role: by, activity, and optionally category, service, target."""
        body = _body()
        with self.tenant.lock:
            target = self.tenant.people[body.get("target", "requester")]
            row = audit.write(
                self.tenant,
                body["activity"],
                by=self.tenant.people[body["by"]],
                targets=[audit.target("User", target.oid, target.name, target.upn)],
                category=body.get("category", "UserManagement"),
                service=body.get("service", "Core Directory"),
            )
        return jsonify(row)

    def roll_keys(self) -> Response:
        self.keys.roll()
        return jsonify(kid=self.keys.kid)

    def federate(self) -> Response:
        """What the platform would put into the application's assertion file."""
        return jsonify(assertion=self.credentials.federated())

    def change_webhooks(self) -> Response:
        body = _body()
        if "url" in body:
            self.sender.url = str(body["url"] or "")
        if "secret" in body:
            self.sender.secrets = [body["secret"]] if isinstance(body["secret"], str) else list(body["secret"])
        if "events" in body:
            self.sender.events = None if body["events"] is None else frozenset(map(str, body["events"]))
        if "hold" in body:
            self.sender.hold(body["hold"] is True, body.get("backwards") is True)
        return jsonify(url=self.sender.url)

    def sign_webhook(self) -> Response:
        """The headers with which the helpdesk would send this body now: {"body": text} or {"base64": bytes}."""
        asked = _body()
        body = base64.b64decode(asked["base64"]) if "base64" in asked else str(asked["body"]).encode()
        message = Message(secrets.token_hex(12), body)
        return jsonify(dict(self.sender.dialect.headers(message, self.sender.secrets)))

    def add_notes(self) -> Response:
        """Internal notes that somebody wrote long ago: {"ticket", "by", "body", "times"}."""
        body = _body()
        by = self.desk.account(str(body["by"]))
        if by is None:
            raise ValueError(f"There is no account {body['by']!r}.")
        self.desk.add_notes(str(body["ticket"]), str(body["body"]), int(body["times"]), by)
        return jsonify(notes=len(self.desk.ticket(str(body["ticket"])).notes))

    def assign_by_rule(self) -> Response:
        """A rule of the helpdesk's own sets the assignee while `under` changes something: {"ticket", "to", "under"}."""
        body = _body()
        under = self.desk.account(body["under"])
        if under is None:
            raise ValueError(f"There is no account {body['under']!r}.")
        self.desk.assign(str(body["ticket"]), body["to"], under, rule="Assign to first responder")
        return jsonify(ticket=body["ticket"])

    def add_together(self) -> Response:
        """Tickets that changed at one moment: {"count", "requester", "assignee"}."""
        body = _body()
        made = self.desk.add_together(int(body["count"]), str(body["requester"]), str(body["assignee"]))
        return jsonify(tickets=made)

    def repeat_webhook(self) -> Response:
        """Sends a delivery of the log once more, with its id: {"id": ...}."""
        number = _body()["id"]
        entry = {e["id"]: e for e in list(self.sender.log)}[number]
        self.sender.repeat(number, json.dumps(entry["event"], separators=(",", ":")).encode())
        return jsonify(id=number)

    def change_elevate_url(self) -> Response:
        body = _body()
        self.desk.elevate_url = str(body["template"])
        self.desk.connection = str(body.get("connection", self.desk.connection))
        return jsonify(template=self.desk.elevate_url, connection=self.desk.connection)

    def install_app(self) -> Response:
        """As an administrator who uploads an app: {"zip": base64}. Where the helpdesk takes apps, tickets show it."""
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(_body()["zip"]))) as given:
            self.desk.app = {name: given.read(name) for name in given.namelist()}
        return jsonify(files=sorted(self.desk.app))

    def hide_tickets(self) -> Response:
        """Tickets that the service account may not see, in a ServiceNow: {"tickets": [...]}."""
        self.desk.hidden = {str(it) for it in _body()["tickets"]}
        return jsonify(tickets=sorted(self.desk.hidden))

    def delete_ticket(self, number: str) -> tuple[str, int]:
        self.desk.delete(number)
        return "", 204

    def log(self) -> Response:
        since, side = int(request.args.get("since", "0")), request.args.get("side")
        rows = [e for e in list(self.traffic.log) if e["n"] > since and side in (None, "", e["side"])]
        webhooks = [] if request.args.get("webhooks") == "0" else list(self.sender.log)
        return jsonify(requests=rows, webhooks=webhooks)

    def state(self) -> Response:
        with self.tenant.lock:
            activation.settle(self.tenant)
            return jsonify(
                now=plain(self.clock.now()),
                people=[p.public() for p in self.tenant.people.values()],
                units=self._units(),
                groups=targets.GROUPS,
                policies={role: asdict(p) for role, p in self.tenant.policies.items()},
                requests=[{**views.schedule_request(r), "kind": r.what.kind} for r in self.tenant.requests.values()],
                instances=[
                    {**views.instance(r), "visible_at": plain(r.visible), "kind": r.what.kind}
                    for r in self.tenant.instances.values()
                ],
                audit=[{"visible_at": plain(at), **row} for at, row in self.tenant.audit],
                tickets=[
                    {**self.desk.view(t), "notes": t.notes, "history": t.history} for t in self.desk.tickets.values()
                ],
                settings={name: getattr(self.tenant, name) for name in SETTINGS},
                faults=[asdict(f) for f in self.traffic.faults],
                webhook_url=self.sender.url,
                webhooks_waiting=self.sender.waiting(),
            )

    def reset(self) -> Response:
        self.clock.reset()
        self.traffic.reset()
        self.tenant.reset()
        self.desk.reset()
        self.sender.reset()
        return jsonify(now=plain(self.clock.now()))


def _eligibility(item: Any) -> Eligibility:
    if isinstance(item, str):
        return Eligibility(targets.role(item))
    end = parse(item["end"]) if item.get("end") else None
    what = targets.role(item["role"], targets.scope_named(item.get("scope", "/")))
    return Eligibility(what, end=end, member_type=item.get("member_type", "Direct"))


def _group_eligibility(item: Any) -> Eligibility:
    if isinstance(item, str):
        return Eligibility(targets.group(item))
    end = parse(item["end"]) if item.get("end") else None
    what = targets.group(item["group"], item.get("access", "member"))
    return Eligibility(what, end=end, member_type=item.get("member_type", "Direct"))


def _body() -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise ValueError("The body is not a JSON object.")
    return body


def _bad(wrong: Exception) -> tuple[Response, int]:
    return jsonify(error=f"{type(wrong).__name__}: {wrong}"), 400


def _refused(wrong: GraphError) -> tuple[Response, int]:
    return jsonify(error=str(wrong)), wrong.status
