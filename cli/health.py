"""`ticket-elevate health`: whether the worker or beat of this machine does its work. Exit 0: yes, 1: no."""

import sys

import click

from workers.health import BEAT, WORKER, main


@click.command()
@click.argument("what", type=click.Choice([WORKER, BEAT]))
def health(what: str) -> None:
    """Say whether the worker or beat of this machine does its work; for health checks."""
    sys.exit(main([what]))
