"""Write the pages that are made from the code: docs/settings.md, docs/lifecycle.md and a part of docs/errors.md.

python docs/generate.py           write them again
python docs/generate.py --check   exit with 1 if one of them is not what the code says
"""

import json
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo

from integration import helpdesks
from integration.elevation import ACTIVATION_MOVES, END_WORDS, LABELS, MOVES, ActivationState, State
from integration.entra import catalogue
from integration.settings import SETTINGS_VARIABLE, Entra, Notify, Settings

HERE = Path(__file__).parent
NOTE = "<!-- Made by docs/generate.py from the code. Change the code, then run `python docs/generate.py`. -->"
CODES_BEGIN, CODES_END = "<!-- codes: begin -->", "<!-- codes: end -->"
# The settings that are also read from a file, as `<name>_file`; tests hold this against what the code does.
FROM_A_FILE = {"entra": ("client_secret",), "notify": tuple(Notify.model_fields)}

MEANINGS: Mapping[State, str] = {
    State.OFFERED: "The ticket shows the Elevate link. Nothing starts before its technician clicks.",
    State.REQUESTED: "A worker reads the ticket again, asks the rules and finds the role.",
    State.SIGN_IN_NEEDED: "The technician must sign in with Microsoft first; then it goes on by itself.",
    State.WAITING: "The tenant was asked, or is about to be, and does not show the role as active yet.",
    State.PENDING: "The tenant asks an approver, who has 24 hours; the ticket and the page say since when.",
    State.ACTIVE: "The role was seen active in the tenant, for this ticket.",
    State.ENDING: "This ticket let go of the role, which is given back as soon as the tenant allows it.",
    State.ENDED: "This ticket holds no role any more.",
    State.REFUSED: "The rules gave no role.",
    State.FAILED: "The tenant gave no role, or the role ended before it was seen active.",
    State.CANCELLED: "It ended before a role was active: solved, handed over, ended by hand or left alone.",
    State.WATCHED: "The rule only watches: what would have been done is in the journal, and nothing was done.",
}
ACTIVATION_MEANINGS: Mapping[ActivationState, str] = {
    ActivationState.ASKED: "The intent is in the journal; the tenant may or may not have the request yet.",
    ActivationState.PENDING: "The tenant waits for an approver.",
    ActivationState.ACTIVE: "The tenant shows the role as active.",
    ActivationState.GIVING_BACK: "Nobody needs it any more; the tenant is being asked to take it back.",
    ActivationState.GIVEN_BACK: "The role is gone from the tenant before its time was up.",
    ActivationState.EXPIRED: "The role ended in the tenant: its time was up, or somebody ended it there.",
    ActivationState.FAILED: "The tenant did not give the role.",
    ActivationState.WITHDRAWN: "The request was taken back before an approver decided it.",
    ActivationState.LEFT: "The role was activated outside Ticket Elevate and is left alone; no ticket uses it.",
}


def settings_page() -> str:
    top = [
        (name, field) for name, field in Settings.model_fields.items() if name not in ("entra", "helpdesks", "notify")
    ]
    return "\n".join(
        [
            "# Settings",
            NOTE,
            "",
            f"One TOML file. Its path is in the environment variable `{SETTINGS_VARIABLE}`; without it it is",
            "`settings.toml` in the directory where a command is started. A setting that is missing, unknown or wrong",
            "stops the start with a sentence that names it, and never its value.",
            "",
            "Each setting can be given as an environment variable instead, which then wins over the file.",
            "",
            "## General",
            "",
            *_table(top, prefix=()),
            "",
            "## `[entra]`",
            "",
            f"{Entra.__doc__} Exactly one of `client_secret`, `certificate_file` and `assertion_file` is needed.",
            "",
            *_table(list(Entra.model_fields.items()), prefix=("entra",)),
            "",
            "## `[notify]`",
            "",
            "Who is told beyond the ticket, by chat or e-mail; without it nobody is.",
            "[notifications.md](notifications.md) shows how an address is written. A file holds one in each line.",
            "",
            *_table(list(Notify.model_fields.items()), prefix=("notify",)),
            "",
            "## `[helpdesks.<connection>]`",
            "",
            f"{Settings.model_fields['helpdesks'].description}. `<connection>` is a name of your own: small",
            "letters, digits, `_` and `-`. It is the end of the webhook's address,",
            "`<public_url>/webhooks/<connection>`, and rules and journal entries name it. The variable is",
            "`TICKET_ELEVATE_HELPDESKS__<CONNECTION>__<SETTING>`.",
            "",
            'Each secret of a helpdesk may be in a file of its own: `token_file = "/path"` in place of `token`, and',
            '`secrets = { first = { file = "/path" } }`. Without `kind` it is `generic`.',
            "",
            "Each kind has these:",
            "",
            *_table(list(helpdesks.Connection.model_fields.items()), prefix=None),
            "",
            "`internal = true` is for a helpdesk at an internal address (`10.0.0.5`, or a name that leads there), so",
            "that no slip or stray name brings our token to another service in your network. `localhost` needs no",
            "such word.",
            "",
            *(line for kind in kinds() for line in _helpdesk(kind)),
        ]
    )


def kinds() -> list[str]:
    """The adapters that ship with the product. One that is declared and not written yet has no page."""
    ours = entry_points(group=helpdesks.GROUP)
    written = {point.name for point in ours if point.module.startswith("integration.") and find_spec(point.module)}
    return sorted(written)


def _helpdesk(kind: str) -> Iterator[str]:
    model = helpdesks.load(kind).Settings
    page = f"connect-{kind.replace('_', '-')}.md"
    shown = f" [{page}]({page}) shows them in use." if (HERE / page).exists() else ""
    yield f'### `kind = "{kind}"`'
    yield ""
    yield f"{(model.__doc__ or '').strip().splitlines()[0]}{shown}"
    yield ""
    yield from _table(list(model.model_fields.items()), prefix=None)
    yield ""


def _table(fields: list[tuple[str, FieldInfo]], *, prefix: tuple[str, ...] | None) -> Iterator[str]:
    """One row a setting. Without `prefix` there is no column for the environment variable."""
    with_variable = prefix is not None
    yield (
        "| setting | environment variable | default | what it is |"
        if with_variable
        else "| setting | default | what it is |"
    )
    yield "|---|---|---|---|" if with_variable else "|---|---|---|"
    for name, field in fields:
        yield _row(name, field, prefix, _cell(field.description or ""))
        if prefix and name in FROM_A_FILE.get(prefix[0], ()):
            path = FieldInfo(default=None)
            yield _row(f"{name}_file", path, prefix, f"The path of a file that holds `{name}`, in its place.")


def _row(name: str, field: FieldInfo, prefix: tuple[str, ...] | None, description: str) -> str:
    cells = [f"`{name}`"]
    if prefix is not None:
        cells.append(f"`{'TICKET_ELEVATE_' + '__'.join((*prefix, name)).upper()}`")
    return f"| {' | '.join([*cells, _default(field), description])} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    value: Any = field.default
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    if isinstance(value, dict):
        return ", ".join(f"`{word}`: `{meaning}`" for word, meaning in value.items())
    # Two backticks, so that a backtick in a JMESPath stays one.
    return f"`` {_cell(value)} ``" if "`" in str(value) or str(value) != str(value).strip() else f"`{_cell(value)}`"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def lifecycle_page() -> str:
    return "\n".join(
        [
            "# The lifecycle",
            NOTE,
            "",
            "An *elevation* is one ticket's hold on an activation, for one technician. An *activation* is the",
            "tenant's own fact: this technician has this target from then until then. It may serve several",
            "tickets, and is given back when its last elevation ends. What may follow what is said once, in",
            "`integration/elevation.py`.",
            "",
            "## An elevation",
            "",
            *_diagram(MOVES, first=(State.OFFERED, State.REQUESTED, State.REFUSED)),
            "",
            "| state | on pages | what it means | may become |",
            "|---|---|---|---|",
            *(f"| `{s}` | {LABELS[s]} | {MEANINGS[s]} | {_next(State, MOVES[s])} |" for s in State),
            "",
            "### Why an elevation let go",
            "",
            "| reason | in words |",
            "|---|---|",
            *(f"| `{reason}` | {words} |" for reason, words in END_WORDS.items()),
            "",
            "## An activation",
            "",
            *_diagram(ACTIVATION_MOVES, first=(ActivationState.ASKED,)),
            "",
            "| state | what it means | may become |",
            "|---|---|---|",
            *(
                f"| `{s}` | {ACTIVATION_MEANINGS[s]} | {_next(ActivationState, ACTIVATION_MOVES[s])} |"
                for s in ActivationState
            ),
            "",
        ]
    )


def _diagram(moves: Mapping[Any, frozenset[Any]], *, first: tuple[StrEnum, ...]) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield from (f"    [*] --> {state}" for state in first)
    # In the order of the enum: a set's own order would differ from run to run.
    for state in moves:
        yield from (f"    {state} --> {to}" for to in type(state) if to in moves[state])
        if not moves[state]:
            yield f"    {state} --> [*]"
    yield "```"


def _next(states: type[StrEnum], moves: frozenset[Any]) -> str:
    return ", ".join(f"`{to}`" for to in states if to in moves) or "nothing: it is over"


def errors_page() -> str:
    """The page as it is, with the tables of the tenant's codes made new."""
    before, rest = (HERE / "errors.md").read_text(encoding="utf-8").split(CODES_BEGIN)
    _, after = rest.split(CODES_END)
    return "\n".join([before + CODES_BEGIN, NOTE, "", *_codes(), CODES_END]) + after


def _codes() -> Iterator[str]:
    yield "| code | what it means | may time help | who must act | the technician reads | an administrator does |"
    yield "|---|---|---|---|---|---|"
    for known in (*catalogue.CODES.values(), *catalogue.RULES.values()):
        again = "yes" if known.helps_to_retry else "no"
        cells = (known.meaning, again, known.who, known.technician, known.administrator)
        yield f"| {known.code} | {' | '.join(cells)} |"
    yield ""
    yield f"Any other code: {catalogue.unknown('Code', 400, 'request id')} {catalogue.UNKNOWN_TO_ADMINISTRATORS}"


PAGES = {"settings.md": settings_page, "lifecycle.md": lifecycle_page, "errors.md": errors_page}


def stale(directory: Path = HERE) -> list[str]:
    """The generated pages that are not what the code says."""
    pages = {directory / name: make for name, make in PAGES.items()}
    return [
        path.name for path, make in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != make()
    ]


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a page is not what the code says.")
def main(check: bool) -> None:
    """Write the pages that are made from the code."""
    if not check:
        for name, make in PAGES.items():
            (HERE / name).write_text(make(), encoding="utf-8")
        return
    for name in stale():
        click.echo(f"docs/{name} is not what the code says. Run `python docs/generate.py`.", err=True)
    sys.exit(1 if stale() else 0)


if __name__ == "__main__":
    main()
