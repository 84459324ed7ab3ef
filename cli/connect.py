"""`ticket-elevate connect`: make a connection to a helpdesk, try it, and say what is left to be done by hand."""

import re
import signal
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import click

from cli import settings_file
from cli.answers import INTERNAL, SECRETS, Answers, gather, is_secret
from cli.doctor import in_words
from cli.settings_file import NotWritten
from integration import helpdesks, settings
from integration.helpdesks import Adapter, inside
from integration.helpdesks import setup as setups
from integration.helpdesks.http import NOT_THERE
from integration.helpdesks.setup import ByHand, Kept, Place, Undo
from integration.secret_files import read_secret
from integration.tickets import Finding, Helpdesk, HelpdeskError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CATEGORIES = "categories"  # a setting of most kinds: the names that rules use
_FIRST = "current"  # what the secret of the calls is called in the settings


@dataclass(frozen=True)
class _Connection:
    """What is being made."""

    kind: str
    place: Place
    adapter: Adapter
    setup: type[ByHand]
    answers: Answers
    stored: Mapping[str, Any]  # what the settings say of it until now
    folder: Path  # of the files with secrets
    write: bool  # the settings; else the table is printed

    @property
    def name(self) -> str:
        return self.place.connection

    def helpdesk(self, table: Mapping[str, Any]) -> Helpdesk:
        try:
            return helpdesks.connect(self.name, table)
        except ValueError as error:
            raise click.ClickException(str(error)) from None


@click.command()
@click.argument("kind")
@click.option("--name", help="The connection's name in our settings; the kind's, if not given.")
@click.option("--test-ticket", metavar="NUMBER", help="A ticket on which each right is tried, and undone if it can be.")
@click.option("--set", "options", multiple=True, metavar="NAME=VALUE", help="A setting. Not for secrets. Repeatable.")
@click.option("--answers", "file", type=click.Path(path_type=Path), help="A TOML file with settings, by their names.")
@click.option("--no-create", is_flag=True, help="Create nothing at the helpdesk: say how to do it by hand.")
@click.option("--replace", is_flag=True, help="The connection is there: change it. What is not told stays as it is.")
@click.option("--print-table", is_flag=True, help="Print the table for the settings instead of writing it into them.")
@click.option("--anyway", is_flag=True, help="Go on where a check fails.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def connect(
    kind: str,
    name: str | None,
    test_ticket: str | None,
    options: tuple[str, ...],
    file: Path | None,
    no_create: bool,
    replace: bool,
    print_table: bool,
    anyway: bool,
    yes: bool,
) -> None:
    """Connect a helpdesk of the KIND zendesk, jira, generic and so on.

    Asks for what its settings need, tries each right on a test ticket, creates at the helpdesk what its API lets us
    create, writes the settings, and prints what is left to be done by hand. Each answer can also be an environment
    variable: TICKET_ELEVATE_CONNECT_ and its name in capitals.
    """
    made = _connection(kind, name or kind, options, file, replace=replace, write=not print_table, ask=not yes)
    if no_create and not made.setup.takes_our_secret and not made.answers.table.get(SECRETS):
        raise click.ClickException(
            f"This helpdesk makes the secret of its calls itself. Make a webhook that calls {made.place.webhook}, put "
            'its secret into a file, and name that in a file for --answers: secrets = { current = { file = "PATH" } }.'
        )
    table = _reached(made, anyway=anyway)
    if test_ticket is None and not yes:
        words = "The number of a ticket for trials, on which a note is written (may be empty: nothing is tried)"
        test_ticket = str(click.prompt(f"\n{words}", default="", show_default=False)).strip()
    _try(made.helpdesk(table), test_ticket, anyway=anyway)
    with _undone_unless_all_is_well(made.place.name) as undo:
        created = not no_create and _create(made, table, undo, ask=not yes, anyway=anyway)
        before, written = _keep(made, table, undo)
    secret = _tidied(made, before, written)
    _say_what_is_left(made, table, secret, created)


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise click.ClickException("A connection's name is made of small letters, digits, `_` and `-`.")


def _connection(
    kind: str, name: str, options: tuple[str, ...], file: Path | None, *, replace: bool, write: bool, ask: bool
) -> _Connection:
    check_name(name)
    try:
        adapter = helpdesks.load(kind)
        kept = settings_file.table_of(settings.file(), name)
    except (helpdesks.UnknownHelpdesk, NotWritten) as error:
        raise click.ClickException(str(error)) from None
    if kept is not None and not replace:
        raise click.ClickException(
            f"{settings.file()} has a connection {name} already. Say --replace to change it, or --name for another."
        )
    was = (kept or {}).pop("kind", "generic")
    if kept is not None and was != kind:
        raise click.ClickException(f"The connection {name} is of the kind {was}. Take another --name.")
    found = settings.load(helpdesks={name: {"kind": kind}})
    if not found.data_dir.is_dir():
        # Made here, it would be this account's, and in this directory: where the service neither looks nor may read.
        raise click.ClickException(
            f"{found.data_dir.absolute()}, which data_dir names for files with secrets, is no directory. Run "
            "`ticket-elevate init` first, and run this where the service runs, or write data_dir as a whole path."
        )
    if write:
        try:
            settings_file.try_to_write(settings.file(), name, kind)
        except NotWritten as error:
            raise click.ClickException(
                f"{error} Put that right, or say --print-table: then you put the table into your settings yourself."
            ) from None
    setup = setups.of_class(adapter)
    answers = gather(adapter.Settings, setup, options=options, file=file, kept=kept or {}, ask=ask)
    folder = found.data_dir.resolve() / "helpdesks"
    return _Connection(kind, Place(name, found.public_url), adapter, setup, answers, kept or {}, folder, write)


def _reached(made: _Connection, *, anyway: bool) -> dict[str, Any]:
    """The whole table, with what the helpdesk itself tells, once everything that doctor looks at is right."""
    given = made.answers.table
    table = {"kind": made.kind, **made.setup.stand_ins, SECRETS: {_FIRST: made.setup.new_secret()}, **given}
    helpdesk = made.helpdesk(table)
    try:
        told = {name: it for name, it in setups.of(helpdesk).found().items() if name not in given}
    except HelpdeskError as error:
        _show(helpdesk.check())  # which knows better what to do
        raise click.ClickException(f"{setups.in_words(error)} Nothing was created or written.") from None
    for name, value in told.items():
        click.echo(f"     {name} is {value}")
    table |= told
    helpdesk = made.helpdesk(table)
    _stop_unless(_show(helpdesk.check(), left=setups.of(helpdesk).is_left), anyway=anyway)
    return table


def _try(helpdesk: Helpdesk, number: str | None, *, anyway: bool) -> None:
    if not number:
        click.echo("     not tried: reading a ticket's history, and writing notes (--test-ticket)")
        return
    _stop_unless(_show(setups.try_ticket(helpdesk, number, now=datetime.now(UTC))), anyway=anyway)


def _create(made: _Connection, table: dict[str, Any], undo: list[Undo], *, ask: bool, anyway: bool) -> bool:
    """Whether all that the API creates is there now. Puts the secret of the helpdesk's calls into `table`."""
    setup, once = setups.of(made.helpdesk(table)), made.answers.once
    what = setup.creates(once)
    if not what:
        return False
    click.echo("To be created at the helpdesk, unless it is there:\n" + "\n".join(f"- {it}" for it in what))
    if ask:
        click.confirm("Go on?", default=True, abort=True)
    given = made.answers.table.get(SECRETS, {})
    known = [_read(name, value) for name, value in given.items()]
    kept = Kept(known[-1] if known else None, whole=_stay(made.stored.get(SECRETS), known))
    try:
        # What an administrator lends us must not reach an address that our own token may not.
        with inside.reaching(str(table.get("url", "")), allowed=table.get(INTERNAL) is True):
            it = setup.make(made.place, kept, once, undo)
    except HelpdeskError as error:
        why = "To create it, our account, or whom you named for this, must be allowed to; or say --no-create."
        if made.place.public_url.startswith("http:"):
            why += f" Hosted helpdesks also call https addresses alone, and public_url is {made.place.public_url}."
        allowed = "" if isinstance(error, NOT_THERE) else why
        raise click.ClickException(f"{setups.in_words(error, allowed)} Nothing was written.") from None
    _stop_unless(_show(it.findings), anyway=anyway)
    if it.secret not in known:
        table[SECRETS] = {**given, _free(given): it.secret}
    return True


def _keep(made: _Connection, table: dict[str, Any], undo: list[Undo]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Write the secrets and the settings, from when on nothing is undone; the table as it was and as it is."""
    secret_settings = [name for name, one in made.adapter.Settings.model_fields.items() if is_secret(one)]
    plain = {f"{made.name}-{name}": table[name] for name in secret_settings if isinstance(table.get(name), str)}
    keyed = {
        f"{made.name}-{name}-{key}": value
        for name in secret_settings
        for key, value in _items(table.get(name))
        if isinstance(value, str)
    }
    try:
        before = settings_file.table_of(settings.file(), made.name)
        with settings_file.secret_files(made.folder, {**plain, **keyed}) as files:
            written = _with_files(made, table, secret_settings, files)
            made.helpdesk(written)
            settings.load(helpdesks={made.name: written})
            if made.write:
                settings_file.write_table(settings.file(), made.name, written)
            else:
                words = "Put this into the settings, in place of the table that may be there:"
                click.echo(f"\n{words}\n\n{settings_file.as_text(made.name, written)}")
            undo.clear()
    except NotWritten as error:
        raise click.ClickException(str(error)) from None
    return before or {}, written


def _tidied(made: _Connection, before: Mapping[str, Any], written: Mapping[str, Any]) -> Path | None:
    """Delete what no setting names any more; the path of the secret of the helpdesk's calls."""
    if not made.write:  # until somebody did, the files of before may be in force
        click.echo(f"Written: secrets in {made.folder}, and no settings.")
        return _file_of_calls(written)
    # Not what the file says alone: the environment can name a connection, too.
    left = settings_file.delete_unnamed(made.folder, before, settings.load().helpdesks)
    click.echo(f"Written: [helpdesks.{made.name}] in {settings.file()}, and secrets in {made.folder}.")
    for path in left:
        click.echo(f"No setting names {path} any more, and it cannot be deleted: delete it.", err=True)
    return _file_of_calls(written)


def _file_of_calls(written: Mapping[str, Any]) -> Path | None:
    named = list(written[SECRETS].values())[-1] if written.get(SECRETS) else None
    return Path(named["file"]) if isinstance(named, dict) else None


def _with_files(
    made: _Connection, table: Mapping[str, Any], secret_settings: Iterable[str], files: Mapping[str, Path]
) -> dict[str, Any]:
    """The table with the names of files in place of secrets."""
    written: dict[str, Any] = {}
    ordered = [name for name in ("kind", *made.adapter.Settings.model_fields) if name in table]
    for name in [*ordered, *(it for it in table if it not in ordered)]:
        value = table[name]
        whole = files.get(f"{made.name}-{name}")
        if whole is not None:
            written[f"{name}_file"] = str(whole)
        elif name in secret_settings:
            each = {key: files.get(f"{made.name}-{name}-{key}") for key, _ in _items(value)}
            written[name] = {key: {"file": str(each[key])} if each[key] else it for key, it in _items(value)}
        else:
            written[name] = value
    return written


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _free(taken: Container[str]) -> str:
    """A name that no secret has: one that is in force must not be written over."""
    names = chain((_FIRST,), (f"{_FIRST}_{number}" for number in count(2)))
    return next(it for it in names if it not in taken)


def _stay(stored: Any, known: Iterable[str]) -> bool:
    """Whether there are `stored` secrets, and each is among the `known` ones."""
    try:
        before = {_secret(name, value) for name, value in _items(stored)}
    except (KeyError, ValueError):
        return False
    return bool(before) and before <= set(known)


def _secret(name: str, value: Any) -> str:
    return read_secret(name, value["file"]) if isinstance(value, dict) else str(value)


def _read(name: str, value: Any) -> str:
    try:
        return _secret(name, value)
    except (KeyError, ValueError) as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _undone_unless_all_is_well(name: str) -> Iterator[list[Undo]]:
    """What was created, under the `name`, is taken away again when something fails after it, or somebody stops us."""
    undo: list[Undo] = []
    with _stopped_as_by_ctrl_c():
        try:
            yield undo
        except BaseException:
            for it in reversed(undo):
                _take_away(it, name)
            raise


def _take_away(it: Undo, name: str) -> None:
    by_hand = f"take away {it.what} {name!r} by hand."
    try:
        words = f"Taken away again: {it.what}." if it.call() else f"If it is made after all, {by_hand}"
    except HelpdeskError as error:
        words = f"{setups.in_words(error)} If it is there, {by_hand}"
    except BaseException:  # noqa: BLE001 - a second Ctrl-C too: what is left of the list must still go
        words = f"That was not waited for. If it is there, {by_hand}"
    with suppress(OSError):  # the terminal may be what went away
        click.echo(words, err=True)


@contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """A terminal that goes away and a SIGTERM stop us as Ctrl-C does, unless somebody had them ignored."""
    before = {it: signal.getsignal(it) for it in (signal.SIGHUP, signal.SIGTERM)}
    for it, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(it, signal.default_int_handler)
    try:
        yield
    finally:
        for it, handler in before.items():
            signal.signal(it, handler)


def _show(findings: Iterable[Finding], *, left: Callable[[Finding], bool] = lambda _: False) -> bool:
    """Print them as doctor does; whether all is well, but for what is `left` for later."""
    well = True
    for found in findings:
        later = not found.ok and left(found)
        click.echo(f"left {found.what}\n     {found.fix}" if later else in_words(found))
        well = well and (found.ok or later)
    return well


def _stop_unless(well: bool, *, anyway: bool) -> None:
    if not well and not anyway:
        raise click.ClickException("Nothing was written. Put that right and run it again, or say --anyway.")


def _say_what_is_left(made: _Connection, table: Mapping[str, Any], secret: Path | None, created: bool) -> None:
    click.echo("\nLeft to be done by hand:")
    for it in setups.of(made.helpdesk(table)).by_hand(made.place, secret, created):
        click.echo(f"- {it}")
    click.echo("- Restart Ticket Elevate, which reads its settings at start, and run `ticket-elevate doctor`.")
    if table.get(_CATEGORIES):
        return
    if _CATEGORIES in made.adapter.Settings.model_fields:
        page = f"docs/connect-{made.kind.replace('_', '-')}.md"
        click.echo(f"- Give your kinds of work the names that your rules use (`{_CATEGORIES}`): {page} says how.")
    else:
        click.echo("- See to it that your rules name the kinds of work as this helpdesk does: docs/rules.md says how.")
