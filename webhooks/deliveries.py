"""POST /webhooks/<connection>: check the signature, keep the delivery, wake a worker, answer. No other I/O.

Some helpdesks call inside the technician's own click and open transaction, so nothing here may wait for anybody.
"""

from datetime import UTC, datetime

from flask import Blueprint, Response, current_app, request

from integration.deployment import Deployment
from integration.records import deliveries
from integration.tickets import DeliveryUnreadable, SignatureRefused
from webhooks.problems import problem
from workers.app import wake
from workers.run import Due, What

blueprint = Blueprint("deliveries", __name__)
LARGEST = 256 * 1024  # bytes


@blueprint.post("/webhooks/<connection>")
def receive(connection: str) -> Response:
    deployment: Deployment = current_app.config["DEPLOYMENT"]
    helpdesk = deployment.helpdesks.get(connection)
    if helpdesk is None:
        return problem(404, "No helpdesk of this name is connected. Check the last part of the webhook's address.")
    # One byte more than allowed: a chunked body is cut at the limit in silence, and must be seen to be too long.
    body = request.stream.read(LARGEST + 1)
    if len(body) > LARGEST:
        return problem(413, "The call is larger than 256 KiB. Send only the ticket's number and what happened to it.")
    now = datetime.now(UTC)
    headers = request.headers
    repeated = {name.lower() for name in headers.keys() if len(headers.getlist(name)) > 1}  # noqa: SIM118
    once = {name.lower(): value for name, value in headers.items() if name.lower() not in repeated}
    try:
        event = helpdesk.read_delivery(once, body, now=now)
    except SignatureRefused as error:
        return problem(401, str(error))
    except DeliveryUnreadable as error:
        return problem(400, str(error))
    with deployment.records.write() as tx:
        kept = deliveries.store(tx, connection, event, now=now)
    if kept is None:
        return Response(status=200)
    if not event.own:
        wake(Due(What.DELIVERY, kept))
    return Response(status=202)
