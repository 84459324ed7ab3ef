"""Which of the technician's eligibilities a rule takes, and for how long. Pure.

What is added to an analysis here names no person: an analysis is stored and shown. A scope that is a person's own id is
therefore told in words.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from integration.rule import SHORTEST, Rule, Wanted, in_words, place
from integration.rules_fit import Condition
from integration.targets import Affected, Eligibility, Target
from integration.tickets import clean

Analysis = list[Condition]
Limit = Callable[[Target], timedelta | None]
# Policies are set to one of these, nearly always. Tried from the longest, where a policy cannot be read.
_STEPS = tuple(timedelta(minutes=minutes) for minutes in (240, 120, 60, 30, 15))


def held(
    wanted: Wanted, eligibilities: Sequence[Eligibility], affected: Affected | None, analysis: Analysis
) -> Eligibility | None:
    """The eligibility that serves for `wanted`, None where there is none. What was looked at goes to `analysis`."""
    same = [it for it in eligibilities if it.target.kind is wanted.kind and _equal(it.target.id, wanted.id)]
    if wanted.by_unit:
        return _narrowest(wanted, same, affected, analysis)
    # The last one wins, as the tenant lists them; they differ in letter case at most.
    found = next((it for it in reversed(same) if _equal(it.target.scope, wanted.scope)), None)
    detail = "The technician is eligible." if found else "The technician is not eligible."
    analysis.append(Condition(f"Eligible for {wanted.in_words()}", found is not None, detail))
    return found


def how_long(
    wish: timedelta, who: str, maximum: timedelta | None, too_long: timedelta | None
) -> tuple[timedelta, Condition]:
    """What to ask for: `wish`, cut to the policy's `maximum`, or below `too_long`, which the tenant once refused.

    `who` starts the sentence about the wish: "The rule says".
    """
    granted = wish if maximum is None else min(wish, maximum)
    policy = "is not known" if maximum is None else f"is {in_words(maximum)}"
    detail = f"{who} {in_words(wish)}; the tenant's maximum {policy}"
    if granted < wish:
        detail += ", and the duration is cut to that"
    elif maximum is None and too_long is not None:
        granted = min(wish, next((step for step in _STEPS if step < too_long), SHORTEST))
        detail += f", but it has refused {in_words(too_long)}"
        detail += f", so {in_words(granted)} is tried" if granted < wish else ""
    return granted, Condition(f"Active for {in_words(granted)}", True, f"{detail}.")


def wish(rule: Rule, asked: timedelta | None) -> tuple[timedelta, str]:
    """How long it is to be before the tenant has a say, and who says so."""
    if asked is None:
        return rule.duration, "The rule says"
    return min(max(asked, SHORTEST), rule.duration), "The technician asked for"


def _narrowest(
    wanted: Wanted, same: Sequence[Eligibility], affected: Affected | None, analysis: Analysis
) -> Eligibility | None:
    ranked = [(_breadth(it.target.scope, affected), it) for it in same]
    # Two units are as narrow as each other: by name, so that the same ticket gets the same one each time.
    covering = sorted(
        ((rank, it) for rank, it in ranked if rank is not None), key=lambda pair: (pair[0], pair[1].target.scope)
    )
    what = f"Eligible for {wanted.in_words()}"
    whom = "" if affected else " It is not known whom the ticket is about, so only the whole directory covers them."
    elsewhere = len(same) - len(covering)
    others = f" {elsewhere} of the eligibilities do not cover the affected user." if affected and elsewhere else ""
    if not covering:
        nothing = "The technician is not eligible." if not same else "No eligibility covers the affected user."
        analysis.append(Condition(what, False, f"{nothing}{whom}{others}"))
        return None
    rank, found = covering[0]
    wider = len(covering) - 1
    taken = f"Taken {_named(rank, found.target.scope)}"
    why = (
        f", the narrowest of {wider + 1} that cover the affected user." if wider else ", the only one that covers them."
    )
    analysis.append(Condition(what, True, f"{taken}{why}{whom}{others}"))
    return found


def _breadth(scope: str, affected: Affected | None) -> int | None:
    """How wide `scope` is, from 0; None where it does not cover `affected`."""
    folded = scope.casefold()
    if folded == "/":
        return 2
    if affected is None or not affected.user_id:
        return None
    if folded == f"/{affected.user_id}".casefold():
        return 0
    return 1 if folded in {f"/administrativeUnits/{unit}".casefold() for unit in affected.units if unit} else None


def _named(rank: int, scope: str) -> str:
    return "for the affected user alone" if rank == 0 else place(scope)


def _equal(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def name_of(wanted: Wanted, found: Eligibility) -> str:
    """What people call the target: the tenant's name for it, or the file's where the tenant tells an id only."""
    tenants = clean(found.name)
    return tenants if tenants and not _equal(tenants, found.target.id) else wanted.name
