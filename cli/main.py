"""The `ticket-elevate` command."""

import sys

import click

from cli.apps import app
from cli.connect import connect
from cli.demo import demo
from cli.doctor import doctor
from cli.export import export
from cli.health import health
from cli.journal import journal
from cli.keys import keys
from cli.links import links
from cli.rules import rules
from cli.run import init, run
from cli.signins import signins
from cli.trying import try_ticket
from integration.settings import SettingsInvalid


@click.group()
@click.version_option(package_name="ticket-elevate")
def commands() -> None:
    """The smallest Entra role for the ticket a technician just picked."""


for command in (
    run,
    init,
    demo,
    connect,
    app,
    doctor,
    health,
    keys,
    links,
    signins,
    rules,
    try_ticket,
    journal,
    export,
):
    commands.add_command(command)


def main() -> None:
    try:
        commands()
    except SettingsInvalid as error:
        click.echo(str(error), err=True)
        sys.exit(2)
