"""What Zammad's API creates for us, with an administrator's token: the webhook, the triggers that call it, the link.

Wire facts: Zammad's source, github.com/zammad/zammad: app/controllers/webhooks_controller.rb and triggers_controller.rb
with their policies (admin.webhook, admin.trigger), app/models/trigger.rb (a name is taken once), spec/models/
webhook_spec.rb (a webhook that a trigger calls cannot be deleted), app/policies/ticket/article_policy.rb (whoever wrote
a note may delete it, for ten minutes if nothing else is set), object_manager_attributes_controller.rb with
app/models/object_manager/attribute.rb (an attribute is only planned until somebody executes the migrations, after which
Zammad must be restarted; one that is planned is deleted at once).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from integration.helpdesks.http import AnswerUnusable, Door
from integration.helpdesks.setup import ByHand, Kept, Made, Once, Place, Undo, creating
from integration.helpdesks.values import exact, table, tables
from integration.helpdesks.zammad_settings import ZammadSettings
from integration.tickets import Finding, HelpdeskRefused

# What must have changed, for a trigger to call us: the attribute in its condition, and the word for it.
_CHANGES = (("ticket.owner_id", "owner"), ("ticket.state_id", "state"))
_ATTRIBUTES, LABEL = "object_manager_attributes", "Ticket Elevate"


class ZammadSetup(ByHand):
    asks = ("category_field",)
    once = (
        Once(
            "admin_token",
            "An access token of an administrator with the permissions admin.webhook, admin.trigger and admin.object. "
            "It is used now, to make the webhook, two triggers and the attribute for the link, and kept nowhere: "
            "delete it afterwards. Without it they are left to you.",
            secret=True,
        ),
    )
    stand_ins = {"service_account": "1"}

    def __init__(
        self, connection: str, door: Door, settings: ZammadSettings, notes: Callable[[str, str], str | None]
    ) -> None:
        """`notes`: the id of our article on a ticket that holds a marker."""
        self._connection, self._door, self._settings, self._notes = connection, door, settings, notes

    def found(self) -> Mapping[str, str]:
        account = exact(table(self._door.call("GET", "/users/me")).get("id"))
        if account is None:
            raise AnswerUnusable(self._connection, "it does not say who we are")
        return {"service_account": account}

    def is_left(self, found: Finding) -> bool:
        return found.what.endswith("says what its triggers did")  # an older Zammad does not: tickets get the link

    def creates(self, once: Mapping[str, str]) -> Sequence[str]:
        triggers = (f"a trigger on a change of the {it}" for _, it in _CHANGES)
        return ("a webhook", *triggers, f"an attribute of tickets, {LABEL}, that is a link") if _token(once) else ()

    def make(self, place: Place, kept: Kept, once: Mapping[str, str], undo: list[Undo]) -> Made:
        headers = {"Authorization": f"Token token={_token(once)}"}
        base, bundle = f"{self._settings.url}/api/v1", self._settings.ca_bundle
        admin = _Administrator(self._connection, Door(self._connection, base, headers=headers, ca_bundle=bundle), undo)
        called = f"a webhook calls {place.webhook}"
        webhook = next((it for it in admin.all("webhooks") if it.get("endpoint") == place.webhook), None)
        findings = [Finding(f"{called} (it was there)", True), *_state(webhook)] if webhook else []
        if webhook is None:
            webhook = admin.create("webhooks", "the webhook", _webhook(place, kept.newest or self.new_secret()))
            findings = [Finding(f"{called} (new)", True)]
        number = exact(webhook.get("id")) or ""
        triggers = admin.all("triggers")
        for attribute, word in _CHANGES:
            wanted = _trigger(place, number, attribute, word)
            what = f"a trigger calls it on a change of the {word}"
            # A name is taken once: ours can stand in the way of itself.
            ours = next((it for it in triggers if str(it.get("name")).casefold() == wanted["name"].casefold()), None)
            if any(_does(it, number, attribute) for it in triggers):
                findings.append(Finding(f"{what} (it was there)", True))
            elif ours is not None:
                findings.append(Finding(what, False, _mend(ours, place, number)))
            else:
                admin.create("triggers", f"the trigger on the {word}", wanted)
                findings.append(Finding(f"{what} (new)", True))
        secret = webhook.get("signature_token")
        return Made(secret if isinstance(secret, str) else "", (*findings, *_link(admin, place)))

    def by_hand(self, place: Place, secret: Path | None, made: bool) -> Sequence[str]:
        webhook = (
            f"Manage > Webhook: make one with the endpoint {place.webhook}, with SSL verification, without a custom "
            f"payload, and with the HMAC SHA1 signature token that {secret} holds.",
            "Manage > Trigger: make two that call it, activated by action, selective: one with the condition that the "
            "owner has changed, one that the state has changed.",
        )
        done = ("Delete the administrator's token: it is needed no more.",)
        link = (
            "For a link on each new ticket, let System > Objects > Ticket have an attribute of type Text with any "
            f"default and the link template {_template(place)}, unless one is planned above, and press Update Database "
            "there at a quiet time: Zammad must be restarted then."
        )
        return (*(done if made else webhook), link)

    def take_back(self, number: str, marker: str) -> bool:
        article = self._notes(number, marker)
        if article is not None:
            self._door.call("DELETE", f"/ticket_articles/{article}")
        return article is not None


class _Administrator:
    """What an administrator's token lists and creates."""

    def __init__(self, connection: str, door: Door, undo: list[Undo]) -> None:
        self._connection, self._door, self._undo = connection, door, undo

    def all(self, what: str) -> list[dict[str, Any]]:
        rows = self._door.call("GET", f"/{what}")
        if not isinstance(rows, list):
            raise AnswerUnusable(self._connection, f"it holds no list of {what}")
        return tables(rows)

    def create(self, what: str, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        known_by = "endpoint" if "endpoint" in wanted else "name"

        def found() -> list[str]:
            return [self._id(it, name) for it in self.all(what) if it.get(known_by) == wanted[known_by]]

        def delete(number: str) -> None:
            self._door.call("DELETE", f"/{what}/{number}")

        with creating(name, found=found, delete=delete, undo=self._undo):
            made = table(self._door.call("POST", f"/{what}", json=dict(wanted)))
        self._id(made, name)
        return made

    def _id(self, row: Mapping[str, Any], name: str) -> str:
        number = exact(row.get("id"))
        if number is None or not number.isascii() or not number.isdigit():
            raise AnswerUnusable(self._connection, f"it does not say the id of {name}")
        return number


def _token(once: Mapping[str, str]) -> str:
    return once.get("admin_token", "")


def _link(admin: _Administrator, place: Place) -> list[Finding]:
    """Plan the attribute that is a link. When the database is changed for it is not ours to say."""
    wanted, what = attribute(place), "an attribute of tickets is a link to our page"
    try:
        rows = admin.all(_ATTRIBUTES)
        if any(table(it.get("data_option")).get("linktemplate") == _template(place) for it in rows):
            return [Finding(f"{what} (it was there)", True)]
        if any(it.get("name") == wanted["name"] for it in rows):
            return [Finding(f"an attribute is named {wanted['name']} and has another link: change it by hand", True)]
        admin.create(_ATTRIBUTES, "the attribute", wanted)
    except HelpdeskRefused as error:
        lacks = "the token lacks admin.object" if error.status == 403 else f"Zammad refused it (HTTP {error.status})"
        return [Finding(f"the attribute for the link is left by hand: {lacks}", True)]
    return [Finding(f"{what} (planned)", True)]


def _template(place: Place) -> str:
    return place.page("#{ticket.id}")


def attribute(place: Place) -> dict[str, Any]:
    """The attribute of tickets that is a link to our page, as Zammad's API takes it."""
    options = {"type": "text", "maxlength": 120, "null": True, "linktemplate": _template(place)}
    return {
        "object": "Ticket",
        "name": f"elevate_{re.sub('[^a-z0-9]', '_', place.connection.lower())}_link",  # no name may end in _id
        "display": LABEL,
        "active": True,
        "position": 1900,
        "data_type": "input",
        "data_option": {**options, "default": "Elevate"},  # a field without a value shows no link
        "screens": {"edit": {"ticket.agent": {"shown": True}}},
    }


def _webhook(place: Place, secret: str) -> dict[str, Any]:
    return {
        "name": place.name,
        "endpoint": place.webhook,
        "signature_token": secret,
        "ssl_verify": True,
        "active": True,
        "note": "",
    }


def _trigger(place: Place, webhook: str, attribute: str, word: str) -> dict[str, Any]:
    return {
        "name": f"{place.name}: {word}",
        "activator": "action",
        "execution_condition_mode": "selective",
        "condition": {attribute: {"operator": "has changed", "value": []}},
        "perform": {"notification.webhook": {"webhook_id": webhook}},
        "active": True,
        "note": "",
    }


def _does(trigger: Mapping[str, Any], webhook: str, attribute: str) -> bool:
    told = attribute in table(trigger.get("condition"))
    return told and trigger.get("active") is True and _calls(trigger, webhook)


def _mend(trigger: Mapping[str, Any], place: Place, webhook: str) -> str:
    """What to do about a trigger that is called like ours, and does something else."""
    name = f"the trigger {trigger['name']!r} (Manage > Trigger)"
    if not _calls(trigger, webhook):
        return (
            f"Delete {name}, which calls another webhook, or let its webhook (Manage > Webhook) call {place.webhook}; "
            "then run this again. If it is that of another Ticket Elevate, say another --name."
        )
    return f"Delete {name} and run this again." if trigger.get("active") is True else f"Activate {name}."


def _calls(trigger: Mapping[str, Any], webhook: str) -> bool:
    named = table(table(trigger.get("perform")).get("notification.webhook")).get("webhook_id")
    return webhook in ([exact(it) for it in named] if isinstance(named, list) else [exact(named)])


def _state(webhook: Mapping[str, Any]) -> list[Finding]:
    """Whether a webhook that stands there does what ours must."""
    active, signs = webhook.get("active") is True, bool(webhook.get("signature_token"))
    plain = not webhook.get("customized_payload") and not webhook.get("custom_payload")
    return [
        Finding("that webhook is active", active, "" if active else "Activate it (Manage > Webhook)."),
        Finding("that webhook signs", signs, "" if signs else "Delete it (Manage > Webhook) and run this again."),
        Finding("that webhook sends the usual body", plain, "" if plain else "Switch off its custom payload."),
    ]
