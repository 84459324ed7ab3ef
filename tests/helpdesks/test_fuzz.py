"""Payloads of each vendor's own shape, mutated and then signed with the right secret. Contract: each is an event that
can be stored and names a ticket, or a sentence for an administrator; never another error. And whatever they claim,
nothing that is read back then is a pick, for there was none.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from integration.helpdesks import connect
from integration.records import deliveries
from integration.records.tables import deliveries as table
from integration.tickets import DeliveryRefused, Helpdesk, HelpdeskError, SignatureRefused, Status, TicketEvent, clean
from tests.helpdesks.bench import Bench
from tests.helpdesks.mutations import KINDS, mutated

SEED = 2026
LONG = pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(600)], id="long")
MOST_READ = 200  # tickets that are read back


@pytest.mark.parametrize("amount", [pytest.param(300, id="short"), LONG])
def test_no_signed_payload_is_more_than_refused_and_none_makes_a_pick(
    helpdesk: Helpdesk, bench: Bench, amount: int
) -> None:
    ours, templates = recorded(bench)
    random = Random(SEED)  # noqa: S311  # a seed names a payload
    seen: Counter[str] = Counter()
    events: list[TicketEvent] = []
    sentences: set[str] = set()
    for count in range(amount):
        names, body = mutated(templates, random)
        headers = {name.lower(): value for name, value in bench.signed(body).items()}
        try:
            events.append(helpdesk.read_delivery(headers, body, now=bench.now()))
        except SignatureRefused:
            # Signed as it is, it may still lack what the vendor sends beside its signature, in the body.
            seen["refused as forged"] += 1
        except DeliveryRefused as refused:
            seen["refused"] += 1
            sentences.add(str(refused))
        except Exception as error:  # which payload it was is all that helps
            raise AssertionError(f"payload {count} of seed {SEED} ({names}): {body[:2000]!r}") from error
        seen.update(names.split("+"))
    assert set(KINDS) <= set(seen), "each kind was tried"
    assert events, "some got through"
    assert 0 < len(sentences) < 20, "they are ours, and quote nothing"
    assert [it for it in events if not can_be_stored(it, bench)] == []
    assert ours & {it.ticket for it in events}
    for number in [*ours, *sorted({it.ticket for it in events})[:MOST_READ]]:
        assert_no_pick(helpdesk, bench, number, ours)


def recorded(bench: Bench) -> tuple[set[str], list[bytes]]:
    """Tickets that nobody picked, and what is sent of them: handed over by a colleague, commented, held and solved."""
    numbers: set[str] = set()
    found: list[bytes] = []
    for status in Status:
        number = bench.new_ticket(subject=f"M\u00fcller can't sign in, {status}")
        bench.assign(number, bench.technician, by=bench.colleague)
        bench.comment(number, "Called back.", by=bench.colleague)
        bench.set_status(number, status)
        numbers.add(number)
        found += [sent.body for sent in bench.deliveries(number)]
    assert len(set(found)) > 3
    return numbers, found


def can_be_stored(event: TicketEvent, bench: Bench) -> bool:
    kept = deliveries.row("desk", event, now=bench.now())
    texts = [(name, value) for name, value in kept.items() if isinstance(value, str)]
    fits: Sequence[bool] = [len(value) <= table.c[name].type.length for name, value in texts]
    visible = clean(event.ticket) == event.ticket != "" and clean(event.kind, limit=1000) == event.kind
    return all(fits) and visible and event.delivery_id != "" and all(value.isprintable() for _name, value in texts)


def assert_no_pick(helpdesk: Helpdesk, bench: Bench, number: str, ours: set[str]) -> None:
    """Of a real helpdesk other tickets may be named, too, and one of them may have been picked long ago."""
    try:
        ticket = helpdesk.ticket(number, now=bench.now())
    except HelpdeskError:
        return
    assert ticket.number == number
    assert number not in ours or ticket.assignee is None or ticket.assigned_by != ticket.assignee.account


def test_the_same_payload_is_not_taken_with_another_secret(bench: Bench) -> None:
    """So that the others were refused or taken for what they say, and not for how they are signed."""
    (_ours, templates), random = recorded(bench), Random(SEED)  # noqa: S311
    (secret,) = bench.settings["secrets"].values()
    other = connect("desk", {**bench.settings, "secrets": {"other": secret[:10] + secret[10:30][::-1] + secret[30:]}})
    for _ in range(50):
        _names, body = mutated(templates, random)
        with pytest.raises(SignatureRefused):
            other.read_delivery({n.lower(): v for n, v in bench.signed(body).items()}, body, now=bench.now())
