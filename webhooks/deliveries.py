"""POST /webhooks/<connection>: check the signature, keep the delivery, answer, wake a worker. No other I/O.

Some helpdesks call inside the technician's own click and open transaction, so nothing here may wait for anybody.
"""

from datetime import UTC, datetime

from flask import Blueprint, Flask, Response, current_app, request

from integration.deployment import Deployment
from integration.rules_file import RulesInvalid
from integration.tickets import DeliveryUnreadable, SignatureRefused, TicketEvent
from webhooks import current
from webhooks.bell import Bell
from webhooks.committer import Committer
from webhooks.problems import problem
from workers.app import wake_deliveries

blueprint = Blueprint("deliveries", __name__)
COMMITTER, BELL = "ticket_elevate_committer", "ticket_elevate_bell"
LARGEST = 256 * 1024  # bytes


@blueprint.post("/webhooks/<connection>")
def receive(connection: str) -> Response:
    deployment = current.deployment()
    helpdesk = deployment.helpdesks.get(connection)
    if helpdesk is None:
        return problem(404, "No helpdesk of this name is connected. Check the last part of the webhook's address.")
    # One byte more than allowed: a chunked body is cut at the limit in silence, and must be seen to be too long.
    body = request.stream.read(LARGEST + 1)
    if len(body) > LARGEST:
        return problem(413, "The call is larger than 256 KiB. Send only the ticket's number and what happened to it.")
    now = datetime.now(UTC)
    try:
        event = helpdesk.read_delivery(headers_given(), body, now=now)
    except SignatureRefused as error:
        return problem(401, str(error))
    except DeliveryUnreadable as error:
        return problem(400, str(error))
    committer: Committer = current_app.extensions[COMMITTER]
    if not committer.keep(connection, event, now=now, waits=_may_wait(deployment, event)):
        return Response(status=200)
    if not event.idle:
        bell: Bell = current_app.extensions[BELL]
        bell.ring()
    return Response(status=202)


def _may_wait(deployment: Deployment, event: TicketEvent) -> bool:
    """Whether it shows a ticket that no rule is for. It only says in which order calls are worked."""
    if event.shown is None:
        return False
    try:
        return not deployment.rules.concern(event.shown)
    except RulesInvalid:
        return False  # a mistake in the rules must not cost a call, which some helpdesks make once


def headers_given() -> dict[str, str]:
    """The headers of this call by lower-case names. One that stands there twice holds both values with a comma between
    (PEP 3333 has one place for each name), which is no signature and no secret.
    """
    return {name.lower(): value for name, value in request.headers.items()}


def install(app: Flask, deployment: Deployment) -> None:
    """What the receiver's threads share."""
    app.extensions[COMMITTER] = Committer(deployment.records)
    app.extensions[BELL] = Bell(wake_deliveries)
    app.register_blueprint(blueprint)
