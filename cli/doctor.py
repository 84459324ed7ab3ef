"""`ticket-elevate doctor`: look at every part, and say how to mend what is not right."""

import sys

import click

from integration import settings
from integration.deployment import Deployment
from integration.tickets import Finding
from workers.doctor import examine


@click.command()
def doctor() -> None:
    """Check settings, keys, database, queue, rules, tenant and helpdesks."""
    deployment = Deployment(settings.load())
    findings = [Finding("settings", True), *examine(deployment)]
    for found in findings:
        click.echo(in_words(found))
    sys.exit(0 if all(found.ok for found in findings) else 1)


def in_words(found: Finding) -> str:
    return f"{'ok  ' if found.ok else 'FAIL'} {found.what}" + ("" if found.ok else f"\n     {found.fix}")
