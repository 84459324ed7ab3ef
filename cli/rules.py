"""`ticket-elevate rules`: check a rules file, and explain what it says about a ticket, without touching anything."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from cli.deployment import opened
from integration import helpdesks, roles, settings
from integration.deployment import Deployment
from integration.entra.errors import EntraError
from integration.records import people
from integration.rule import in_words, place
from integration.rules import SHIPPED, Condition, Mode, Plan, Refusal, Rules, RulesInvalid, load
from integration.rules_file import shadowed
from integration.targets import Affected, Eligibility, Target, TargetKind
from integration.tickets import HelpdeskError, Person, Status, Ticket, clean
from workers import trying

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
    for rule in loaded.rules:
        if rule.mode is Mode.WATCH:
            click.echo(f'{file}:{rule.line}: Note: rule "{rule.name}" only watches; nothing is activated for it.')
    if loaded.break_glass:
        what = " or ".join(wanted.in_words() for wanted in loaded.break_glass.targets)
        longest = in_words(loaded.break_glass.duration)
        click.echo(
            f"{file}:{loaded.break_glass.line}: Note: break glass allows {what} for {longest}, without a ticket."
        )
    click.echo(f"{file}: {len(loaded.rules)} rules, no mistake. Digest {loaded.digest}.")


@rules.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--ticket", "number", default="1", show_default=True, help="The ticket's number.")
@click.option("--connection", help="The name of the helpdesk's connection; not needed where there is one.")
@click.option("--category", help="The ticket's category. With this or --queue the ticket is not read but made up.")
@click.option("--queue", help="The ticket's queue or type.")
@click.option("--subject", default="", help="The ticket's subject.")
@click.option(
    "--status",
    type=click.Choice([it.value for it in (Status.OPEN, Status.ON_HOLD)]),
    default="open",
    help="The ticket's status.",
)
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="One of the ticket's fields. Repeatable.")
@click.option("--eligible", multiple=True, metavar="ROLE", help="A role, by name, id or key. Repeatable.")
@click.option("--scope", default="/", show_default=True, help="Where the technician is eligible for these roles.")
@click.option("--affected", help="The object id of whom the ticket is about, for the requester's administrative unit.")
@click.option("--unit", "units", multiple=True, help="An administrative unit's id that they are in. Repeatable.")
def explain(
    file: Path | None,
    number: str,
    connection: str | None,
    category: str | None,
    queue: str | None,
    subject: str,
    status: str,
    fields: tuple[str, ...],
    eligible: tuple[str, ...],
    scope: str,
    affected: str | None,
    units: tuple[str, ...],
) -> None:
    """Show what the rules (FILE, or those in force) answer for a ticket, and everything that was looked at.

    The ticket is read from the helpdesk, and its technician's eligibilities from the tenant, unless they are given.
    Nothing is changed.
    """
    given = [_eligibility(word, scope) for word in eligible]
    about = Affected(affected or "", frozenset(units)) if affected or units else None
    if category is None and queue is None:
        deployment = Deployment(settings.load())
        ticket = _read(deployment, connection, number)
        _show(_rules(file, deployment), ticket, given or _eligibilities(deployment, ticket), about)
        return
    ticket = Ticket(
        connection=clean(connection or "helpdesk"),
        number=clean(number),
        subject=clean(subject),
        status=Status(status),
        read_at=datetime.now(UTC),
        category=None if category is None else clean(category),
        queue=None if queue is None else clean(queue),
        assignee=Person("technician"),
        requesters=(Person("requester"),),
        fields=dict(_field(field) for field in fields),
    )
    _show(_load(file or SHIPPED), ticket, given, about)


@rules.command()
@FILE
@click.option("--most", type=click.IntRange(1), default=1000, show_default=True, help="How many tickets are read.")
@click.option("--seconds", type=click.IntRange(1), default=120, show_default=True, help="How long it may take.")
def diff(file: Path, most: int, seconds: int) -> None:
    """Say which tickets of the last 30 days FILE would have answered in another way than the rules in force.

    Each ticket is read from its helpdesk again, and decided as if it were open and picked by the technician who held it
    then. Nothing is changed.
    """
    edited = _load(file)
    with opened() as deployment:
        in_force = _load(deployment.settings.rules_file or SHIPPED)
        patience, now = timedelta(seconds=seconds), datetime.now(UTC)
        found = trying.month(deployment, edited, now=now, most=most, patience=patience)
    for it in found.changed:
        then = f"{it.past.target_name or 'no role'}, {it.past.state}" if it.past.state else "nothing"
        click.echo(f"{it.past.connection} {it.ticket.number} ({it.ticket.category or 'no category'}), then: {then}")
        for whose, each in (("in force", it.before), (clean(file.name), it.after)):
            click.echo(f"  {whose + ':':<16} {'; '.join(map(_in_short, each))}")
    click.echo(f"{len(found.changed)} of {found.compared} tickets that were compared would have got another answer.")
    for line in _not_compared(found, by_unit=edited.by_unit or in_force.by_unit):
        click.echo(line)


def _in_short(answer: Plan | Refusal) -> str:
    watched = " (only watches)" if answer.mode is Mode.WATCH else ""
    if isinstance(answer, Refusal):
        return f"refused ({answer.code}){watched}"
    what = f"{answer.target_name} {place(answer.target.scope)} for {in_words(answer.duration)}"
    return f"{what}, {answer.start}, rule {answer.rule}{watched}"


def _not_compared(found: trying.Month, *, by_unit: bool) -> Iterator[str]:
    counts = (
        (
            found.strangers,
            "compared as if the technician were eligible for all that is named: nothing is known of theirs",
        ),
        (found.nobodys, "not compared: never anybody's"),
        (found.gone, "not compared: no longer in the helpdesk"),
        (found.unread, "not compared: could not be read"),
        (found.late, "not compared: the time was up (--seconds)"),
        (found.beyond, "not compared: older than those that are read (--most)"),
    )
    for number, words in counts:
        if number:
            yield f"{number} {words}."
    if by_unit:
        yield "Whom a ticket is about was not asked: for a requester's unit only the whole directory counts."


def _rules(file: Path | None, deployment: Deployment) -> Rules:
    return _load(file or deployment.settings.rules_file or SHIPPED)


def _read(deployment: Deployment, connection: str | None, number: str) -> Ticket:
    tables = deployment.settings.helpdesks
    known = sorted(tables)
    name = connection or (known[0] if len(known) == 1 else "")
    if name not in known:
        raise click.BadParameter(f"Say which helpdesk: {', '.join(known)}.", param_hint="--connection")
    try:
        # Not the deployment's own: there need be no database yet, and the brake of a connection stands in that.
        return helpdesks.connect(name, tables[name]).ticket(number, now=datetime.now(UTC))
    except HelpdeskError as error:
        raise click.ClickException(str(error)) from None


def _eligibilities(deployment: Deployment, ticket: Ticket) -> list[Eligibility]:
    """What the assigned technician may activate, in their own name; nothing where they never signed in."""
    if ticket.assignee is None:
        return []
    with deployment.records.read() as reading:
        link = people.link_of(reading, ticket.connection, ticket.assignee.account)
    if link is None:
        click.echo("The assigned technician has not signed in yet, so their eligibilities are not known (--eligible).")
        return []
    try:
        return deployment.tenant.eligibilities(link.tid, link.oid, datetime.now(UTC))
    except EntraError as error:
        raise click.ClickException(str(error)) from None


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
    if word.startswith(tuple(f"{kind}:" for kind in TargetKind)):  # a target's key says everything
        target = Target.from_key(word)
        return Eligibility(target, target.id)
    role = roles.find(word) or roles.Role(word, word)
    return Eligibility(Target(TargetKind.DIRECTORY_ROLE, role.id, scope), role.name)


def _show(rules: Rules, ticket: Ticket, eligibilities: Sequence[Eligibility], about: Affected | None) -> None:
    """Every part of the answer; only a rule with a bundle has more than one."""
    found = rules.match(ticket)
    for part in range(1 if isinstance(found, Refusal) else found.parts):
        answer = rules.plan(ticket, eligibilities=eligibilities, part=part, affected=about)
        if not isinstance(found, Refusal) and found.bundle:
            click.echo(f"Part {part + 1} of {found.parts} ({found.bundle}): {found.targets[part].in_words()}")
        show_answer(answer)


def show_answer(answer: Plan | Refusal) -> None:
    """Print everything that was looked at, and what comes of it."""
    for condition in answer.analysis:
        click.echo(_line(condition))
    if isinstance(answer, Refusal):
        click.echo(f"Refused ({answer.code}): {answer.reason}")
    else:
        click.echo(f"Plan of rule {answer.rule}, {answer.start}:")
        click.echo(
            f"  role           {answer.target_name} {place(answer.target.scope)} for {in_words(answer.duration)}"
        )
        click.echo(f"  ticket         {answer.ticket_number}")
        click.echo(f"  justification  {answer.justification}")
        click.echo(f"  in all         at most {in_words(answer.total)}, with more time")
        if answer.probe:
            click.echo(f"  usable         when {answer.probe} can be read")
        if answer.revoke_sessions:
            click.echo("  afterwards     the technician's sessions are ended")
    if answer.mode is Mode.WATCH:
        click.echo("This rule only watches: it is written down, and nothing is activated or commented.")


def _line(condition: Condition) -> str:
    return f"[{'yes' if condition.met else 'no':>3}] {condition.what}. {condition.detail}"
