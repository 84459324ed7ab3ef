"""`ticket-elevate rules`: check a rules file, and explain what it says about a ticket, without touching anything."""

from datetime import UTC, datetime
from pathlib import Path

import click

from integration import roles
from integration.rule import in_words
from integration.rules import Condition, Plan, Refusal, Rules, RulesInvalid, load
from integration.rules_file import shadowed
from integration.targets import Eligibility, Target, TargetKind
from integration.tickets import Person, Status, Ticket, clean

FILE = click.argument("file", type=click.Path(path_type=Path))


@click.group()
def rules() -> None:
    """The rules file: which ticket needs which role."""


@rules.command()
@FILE
def check(file: Path) -> None:
    """Say what is wrong with FILE, line by line. Exits with 1 if anything is."""
    loaded = _load(file)
    for later, earlier in shadowed(loaded.rules):
        click.echo(
            f'{file}:{later.line}: Note: rule "{later.name}" never gets its turn, because "{earlier.name}" (line '
            f"{earlier.line}) fits whenever it does. Move it up."
        )
    click.echo(f"{file}: {len(loaded.rules)} rules, no mistake. Digest {loaded.digest}.")


@rules.command()
@FILE
@click.option("--ticket", "number", default="1", show_default=True, help="The ticket's number.")
@click.option("--connection", default="helpdesk", show_default=True, help="The name of the helpdesk's connection.")
@click.option("--category", help="The ticket's category.")
@click.option("--queue", help="The ticket's queue or type.")
@click.option("--subject", default="", help="The ticket's subject.")
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="One of the ticket's fields. Repeatable.")
@click.option("--eligible", multiple=True, metavar="ROLE", help="A role, by name or id. Repeatable.")
@click.option("--scope", default="/", show_default=True, help="Where the technician is eligible for these roles.")
def explain(
    file: Path,
    number: str,
    connection: str,
    category: str | None,
    queue: str | None,
    subject: str,
    fields: tuple[str, ...],
    eligible: tuple[str, ...],
    scope: str,
) -> None:
    """Show what FILE answers for a ticket like this, and everything that was looked at."""
    ticket = Ticket(
        connection=clean(connection),
        number=clean(number),
        subject=clean(subject),
        status=Status.OPEN,
        read_at=datetime.now(UTC),
        category=None if category is None else clean(category),
        queue=None if queue is None else clean(queue),
        assignee=Person("technician"),
        requesters=(Person("requester"),),
        fields=dict(_field(field) for field in fields),
    )
    answer = _load(file).plan(ticket, eligibilities=[_eligibility(word, scope) for word in eligible])
    _show(answer)


def _load(file: Path) -> Rules:
    try:
        return load(file)
    except RulesInvalid as e:
        click.echo(str(e), err=True)
        raise SystemExit(1) from e


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--field")
    return name, value


def _eligibility(word: str, scope: str) -> Eligibility:
    role = roles.find(word) or roles.Role(word, word)
    return Eligibility(Target(TargetKind.DIRECTORY_ROLE, role.id, scope), role.name)


def _show(answer: Plan | Refusal) -> None:
    for condition in answer.analysis:
        click.echo(_line(condition))
    if isinstance(answer, Refusal):
        click.echo(f"Refused ({answer.code}): {answer.reason}")
        return
    click.echo(f"Plan of rule {answer.rule}, {answer.start}:")
    click.echo(f"  role           {answer.target_name} at {answer.target.scope} for {in_words(answer.duration)}")
    click.echo(f"  ticket         {answer.ticket_number}")
    click.echo(f"  justification  {answer.justification}")


def _line(condition: Condition) -> str:
    return f"[{'yes' if condition.met else 'no':>3}] {condition.what}. {condition.detail}"
