"""Every sentence that is written on a ticket. Pure.

A comment is made of our own words, numbers, times and the tenant's display name of a role. What people typed into the
ticket is never echoed. Its last line is the marker by which we find it again and the head of the journal.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from integration.elevation import END_WORDS, Activation, Elevation, EndReason, State
from integration.rule import in_words
from integration.tickets import clean


class Step(StrEnum):
    """Which comment it is; one elevation says each at most once."""

    OFFERED = "offered"
    SIGN_IN = "sign-in"
    UNSEEN = "unseen"
    ACTIVE = "active"
    LETTING_GO = "letting-go"
    ENDED = "ended"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STUCK = "stuck"
    APPROVAL = "approval"
    DECIDED = "decided"
    USABLE = "usable"
    LONGER = "longer"
    BREAK_GLASS = "break-glass"


_OPENING = "[te:"


def marker(elevation_id: str, step: str) -> str:
    return f"{_OPENING}{elevation_id}:{step}]"


# How long an access token lives at most that was given out before a role ended (one without continuous evaluation).
CACHED_ACCESS = timedelta(minutes=75)


def clock(at: datetime, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """`10:30 (EST)`: the wall clock of the desk, with its zone named."""
    local = at.astimezone(zone)
    return f"{local:%H:%M:%S} ({local.tzname()})" if seconds else f"{local:%H:%M} ({local.tzname()})"


def day_clock(at: datetime, zone: ZoneInfo) -> str:
    """As `clock`, with the day: for what may be tomorrow."""
    return f"{at.astimezone(zone):%d %B} {clock(at, zone)}"


class Offer(StrEnum):
    """Why a ticket shows the link instead of starting by itself."""

    BY_OTHER = "This ticket was assigned by somebody else, so nothing was activated."
    UNTOLD = "The helpdesk does not say who assigned this ticket, so nothing was activated."
    ON_CLICK = "Nothing is activated before the assigned technician starts it."
    TOO_LATE = "It could not be started within a quarter of an hour of the pick, so nothing was activated."


def offered(link: str, why: Offer) -> str:
    return f"{why} To get the role this ticket needs, its technician opens {link}"


def sign_in(link: str) -> str:
    return (
        "This ticket needs a privileged role. Ticket Elevate does not have a valid Microsoft sign-in of the assigned "
        f"technician: please sign in once at {link} and the elevation goes on by itself."
    )


def step_up(link: str) -> str:
    return (
        "Microsoft Entra wants the assigned technician to confirm that it is them before it activates the role that "
        f"this ticket needs: please confirm once at {link} and the elevation goes on by itself."
    )


def sign_in_to_see(link: str) -> str:
    return (
        "Entra was asked for the role that this ticket needs, and the technician's Microsoft sign-in ended before the "
        f"role was seen: please sign in once at {link} and it goes on by itself."
    )


def approval(activation: Activation, until: datetime, zone: ZoneInfo, page: str) -> str:
    """`page`: where approvers decide."""
    name = clean(activation.target_name, limit=120)
    since = clock(activation.pending_at or activation.created_at, zone)
    whose = "The request was made outside Ticket Elevate and is used for this ticket. " if activation.by_hand else ""
    return (
        f"{name} was asked for and waits for an approver since {since}. {whose}Approvers decide at {page} or in the "
        f"Entra portal until {day_clock(until, zone)}; when one of them approves, it becomes active by itself."
    )


def denied(who: str, words: str) -> str:
    """`who` and `words` are the tenant's, cleaned."""
    by = f"The approver {who}" if who else "An approver"
    return f"{by} denied it: \u201c{words}\u201d" if words else f"{by} denied it."


def decided(who: str, words: str, at: datetime, zone: ZoneInfo, *, approved: bool) -> str:
    """`who` and `words` are cleaned."""
    return f"{'Approved' if approved else 'Denied'} by {who} at {clock(at, zone)}: \u201c{words}\u201d"


def withdrawn(reason: EndReason) -> str:
    return f"The request was withdrawn before an approver decided it: {END_WORDS[reason]}."


def break_glass(elevation: Elevation, zone: ZoneInfo) -> str:
    """The story of an emergency, for the ticket that was named afterwards. The reason is the technician's, cleaned."""
    name = clean(elevation.target_name or "A role", limit=120)
    who = clean(elevation.technician or "a technician", limit=120)
    asked = clock(elevation.created_at, zone)
    active_at = f", active since {clock(elevation.active_at, zone)}" if elevation.active_at else ""
    ended = f", ended at {clock(elevation.ended_at, zone)}" if elevation.ended_at else ""
    return (
        f"Break glass: {who} asked for {name} without a ticket at {asked}{active_at}{ended}. "
        f"Reason: \u201c{clean(elevation.reason or '', limit=300)}\u201d Entra knows it as BG-{elevation.id}. "
        "It stays flagged until an administrator or auditor has reviewed it."
    )


def active(elevation: Elevation, activation: Activation, zone: ZoneInfo) -> str:
    until = f" until {clock(activation.ends_at, zone)}" if activation.ends_at else ""
    name = clean(activation.target_name, limit=120)
    if activation.by_hand:
        return (
            f"{name} was already active{until}, activated outside Ticket Elevate. "
            "It is used for this ticket and left alone."
        )
    return (
        f"{name} is active{until} for {clean(elevation.technician or 'the assigned technician', limit=120)}. "
        f"Rule: {elevation.rule}. Use of this role is monitored."
    )


def watched_plan(target_name: str, duration: timedelta) -> str:
    return f"It would have activated {clean(target_name, limit=120)} for {in_words(duration)}."


def watched_refusal(reason: str) -> str:
    return f"It would have refused: {reason}"[:600]


def watched_offer(why: Offer) -> str:
    return f"It would have shown the link. {why}"


def watched_otherwise(to: State, why: str | None) -> str:
    """Of an elevation that came to something else before its plan was known."""
    if to is State.REFUSED:
        return watched_refusal(why or "")
    if to is State.SIGN_IN_NEEDED:
        return watched_unknown()
    ending = {
        State.OFFERED: "It would have shown the link.",
        State.CANCELLED: "It would have been cancelled before anything was active.",
        State.FAILED: "It would have failed.",
    }
    return " ".join(filter(None, (ending[to], why)))[:600]


def watched_unknown() -> str:
    return "It would have asked the technician to sign in, so what they are eligible for is not known."


def letting_go(reason: EndReason, at: datetime, zone: ZoneInfo) -> str:
    return (
        f"The elevation ends because {END_WORDS[reason]}. Entra does not let a role be given back in its first "
        f"minutes: it will be given back at {clock(at, zone)}."
    )


def usable(activation: Activation, zone: ZoneInfo) -> str:
    since = clock(activation.usable_at, zone, seconds=True) if activation.usable_at else "now"
    return f"{clean(activation.target_name, limit=120)} is usable since {since}."


def not_usable(activation: Activation, after: timedelta) -> str:
    return (
        f"{clean(activation.target_name, limit=120)} is active, but Entra did not let it be used within "
        f"{in_words(after)}. Signing out of the portal and in again may help."
    )


def use_needs_sign_in(activation: Activation) -> str:
    return (
        f"{clean(activation.target_name, limit=120)} is active. Your organisation asks for another sign-in before it "
        "can be used: sign out of the portal and in again."
    )


def longer(elevation: Elevation, by: timedelta, zone: ZoneInfo) -> str:
    at = clock(elevation.until, zone) if elevation.until else "the end"
    return (
        f"Its technician needs longer. Entra cannot extend an active role: it ends at {at}, and is asked for again at "
        f"once, for {in_words(by)}."
    )


def not_longer(elevation: Elevation, zone: ZoneInfo) -> str:
    at = clock(elevation.until, zone) if elevation.until else "its time"
    return f"It is not needed for longer any more and ends at {at}."


def ended(
    elevation: Elevation, activation: Activation | None, *, shared: bool, zone: ZoneInfo, again: bool = False
) -> str:
    name = clean(elevation.target_name or "The role", limit=120)
    why = END_WORDS[EndReason(elevation.end_reason)] if elevation.end_reason else "it was ended"
    if shared:
        return f"The elevation for this ticket ended because {why}. {name} stays active for another ticket."
    at = clock(elevation.ended_at, zone) if elevation.ended_at else "now"
    if elevation.end_reason == EndReason.OUTSIDE:
        return (
            f"{name} is no longer active: {why}, which was seen at {at}. Entra itself stops honouring it at once; "
            f"other services that remember a sign-in may do so for up to {in_words(CACHED_ACCESS)} more."
        )
    if activation is not None and activation.by_hand:
        return (
            f"The elevation for this ticket ended because {why}. "
            f"{name} was activated outside Ticket Elevate and is left alone."
        )
    if again:
        return f"{name} ended at {at}: {why}. It is asked for again, as its technician needs longer."
    return (
        f"{name} was given back at {at}: {why}. Entra itself stops honouring it at once; other services that remember "
        f"a sign-in may do so for up to {in_words(CACHED_ACCESS)} more."
    )


def refused(sentence: str) -> str:
    return f"No role was activated. {sentence}"


def not_ready(sentence: str, link: str) -> str:
    """Its technician can do what the `sentence` says, and then try again at the `link`."""
    return f"{refused(sentence)} The button is at {link}"


def ready_no_more(sentence: str, at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """An approver gave the role, and the ticket had changed meanwhile; it is given back `at`."""
    when = f"at {clock(at, zone)}, as Entra does not let that happen sooner" if at > now else "now"
    return f"The ticket was looked at again after the approval. {sentence} So the role is given back {when}."


def cancelled(reason: EndReason) -> str:
    return f"The elevation was cancelled before a role was active: {END_WORDS[reason]}."


def stuck(activation: Activation, link: str, zone: ZoneInfo) -> str:
    until = clock(activation.ends_at, zone) if activation.ends_at else "its end"
    return (
        f"{clean(activation.target_name, limit=120)} could not be given back yet, because Microsoft Entra wants its "
        f"technician to sign in first: please do so once at {link} and it is given back at once. Otherwise the role "
        f"ends by itself at {until}; the technician can also end it in the Entra portal."
    )


def with_witness(text: str, elevation_id: str, step: str, witness: str) -> str:
    """`text` and the last line that makes the comment findable and the helpdesk a witness of the journal.

    An approver's words or a reason may hold what looks like such a line: then a note that is still to be written would
    be found in this one.
    """
    return f"{text.replace(_OPENING, '(te:')}\n\n{marker(elevation_id, step)} {witness}"
