"""Break glass: a plan without a ticket, for an emergency in which helpdesk or rules stand in the way. Pure."""

from collections.abc import Sequence

from integration import rules_choice
from integration.rule import BREAK_GLASS, JUSTIFICATION_LIMIT, BreakGlass, Mode, Start, Wanted, fill
from integration.rules_answers import Plan, Refusal, RefusalCode
from integration.rules_fit import Condition
from integration.targets import Eligibility, Target
from integration.tickets import clean

SHORTEST_REASON = 10
LONGEST_REASON = 300  # visible characters; an approver or auditor reads them


def plan(
    table: BreakGlass | None,
    wanted: int | str,
    reason: str,
    *,
    eligibilities: Sequence[Eligibility],
    maximum: rules_choice.Limit,
    too_long: rules_choice.Limit,
    mode: Mode,
) -> Plan | Refusal:
    """What to activate for `reason`, which is the technician's own text. See Rules.plan_break_glass."""
    if table is None:
        words = (
            "Break glass is switched off here. If it should not be, an administrator must allow it in the rules file."
        )
        return Refusal(BREAK_GLASS, RefusalCode.NO_BREAK_GLASS, words, (), mode)
    target = named(table, wanted)
    if target is None:
        words = "Break glass does not name this role. Choose one of those on the page."
        return Refusal(BREAK_GLASS, RefusalCode.NO_BREAK_GLASS, words, (), mode)
    text = clean(reason, limit=LONGEST_REASON + 1)
    if not SHORTEST_REASON <= len(text) <= LONGEST_REASON:
        words = (
            f"Say in {SHORTEST_REASON} to {LONGEST_REASON} visible characters why this cannot wait for a ticket; these "
            f"are {len(text) if len(text) <= LONGEST_REASON else 'more'}. Administrators and auditors read it."
        )
        return Refusal(BREAK_GLASS, RefusalCode.NO_REASON, words, (), mode)
    analysis = [Condition("A reason is given", True, f"It has {len(text)} characters.")]
    found = rules_choice.held(target, eligibilities, None, analysis)
    if found is None:
        words = f"You are not eligible for {target.in_words()}. Somebody who administers roles must make you eligible."
        return Refusal(BREAK_GLASS, RefusalCode.NOT_ELIGIBLE, words, tuple(analysis), mode)
    granted, how = rules_choice.how_long(
        table.duration, "Break glass allows", maximum(found.target), too_long(found.target)
    )
    return Plan(
        rule=BREAK_GLASS,
        start=Start.ON_CLICK,
        target=found.target,
        target_name=rules_choice.name_of(target, found),
        duration=granted,
        justification=clean(fill(table.justification, {"reason": text}), limit=JUSTIFICATION_LIMIT),
        ticket_number="",
        analysis=(*analysis, how),
        total=table.duration,  # whoever needs longer has time for a ticket, or gives another reason
        mode=mode,
    )


def named(table: BreakGlass, wanted: int | str) -> Wanted | None:
    """The target at this place, or with this key."""
    if isinstance(wanted, int):
        return table.targets[wanted] if 0 <= wanted < len(table.targets) else None
    keys = {Target(it.kind, it.id, it.scope).key.casefold(): it for it in table.targets}
    return keys.get(wanted.casefold())
