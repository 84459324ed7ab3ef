"""What the app that answers this call runs on."""

from flask import current_app

from integration.deployment import Deployment


def deployment() -> Deployment:
    found: Deployment = current_app.config["DEPLOYMENT"]
    return found


def ticket_url(connection: str, number: str) -> str | None:
    """The ticket's page in its helpdesk; None where the settings no longer name that helpdesk."""
    helpdesk = deployment().helpdesks.get(connection)
    return None if helpdesk is None else helpdesk.ticket_url(number)
