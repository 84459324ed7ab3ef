"""Addresses and account ids that change hands in the helpdesk. Contract: neither gives anybody another's role.

How a link is made, replaced and ended is the matter of test_linking.py.
"""

from collections.abc import Callable

from integration.elevation import State
from integration.records import people
from integration.records.people import Link
from tests.conftest import Desk, Practice
from tests.webhooks.conftest import Browser, rows

# What a sign-in writes down about the one who signed in.
NOT_THEIRS = frozenset({"token_caches", "tenant_answers", "journal", "journal_private"})
Open = Callable[..., Browser]


def parked(desk: Desk, practice: Practice, account: str) -> tuple[str, str]:
    """A ticket that this account picked, and the page where its note asks to sign in."""
    ticket = practice.new_ticket()
    practice.assign(ticket, account)
    desk.deliver(ticket)
    assert desk.elevations(ticket)[-1].state is State.SIGN_IN_NEEDED
    return ticket, f"/elevations/{desk.elevations(ticket)[-1].id}"


def link_of(desk: Desk, account: str) -> Link | None:
    with desk.deployment.records.read() as connection:
        return people.link_of(connection, "practice", account)


def test_who_takes_a_technicians_address_in_the_helpdesk_gets_no_link_by_their_own_sign_in(
    desk: Desk, practice: Practice, browser: Open
) -> None:
    """Threat 10, before linking: the directory does not know that address as theirs."""
    practice.control("/people/technician2", {"helpdesk_mail": practice.people["technician"]["mail"]})
    ticket, page = parked(desk, practice, "technician2")

    answer = browser().sign_in("technician2", back_to=page)

    assert answer.status_code == 403
    assert rows(desk.deployment)["links"] == []
    desk.sweep()
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert practice.activation_requests("technician2") == practice.activation_requests("technician") == []


def test_who_takes_a_technicians_address_after_their_link_loses_it_and_gets_nothing(
    desk: Desk, practice: Practice, browser: Open
) -> None:
    """Threat 10, after linking: the account was the attacker's own, and is now said to be the technician's."""
    desk.link("technician2")
    practice.control("/people/technician2", {"helpdesk_mail": practice.people["technician"]["mail"]})
    ticket, page = parked(desk, practice, "technician2")

    browser().sign_in("technician2", back_to=page)

    link = link_of(desk, "technician2")
    assert link is not None
    assert link.suspended_at is not None
    desk.sweep()
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert practice.activation_requests("technician2") == practice.activation_requests("technician") == []


def given_to_another(desk: Desk, practice: Practice) -> tuple[str, str]:
    """The technician's account was deleted and its id given to the second technician, who picks a ticket with it."""
    desk.link("technician")
    practice.control("/people/technician", {"helpdesk_mail": practice.people["technician2"]["mail"]})
    return parked(desk, practice, "technician")


def test_an_account_id_that_was_given_to_somebody_else_does_not_speak_for_its_first_owner(
    desk: Desk, practice: Practice, browser: Open
) -> None:
    """Threat 10, a used id. Not even when that owner signs in again."""
    _, page = given_to_another(desk, practice)

    browser().sign_in("technician", back_to=page)

    link = link_of(desk, "technician")
    assert link is None or link.suspended_at is not None
    desk.sweep()
    assert practice.activation_requests("technician") == practice.activation_requests("technician2") == []


def test_a_sign_in_that_somebody_else_answers_leaves_the_waiting_row_as_it_was(
    desk: Desk, practice: Practice, browser: Open
) -> None:
    """Threat 19: the technician is known, their sign-in is gone, and another person follows the link in the note."""
    desk.link("technician")
    practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})
    ticket, page = parked(desk, practice, "technician")
    before = rows(desk.deployment, but=NOT_THEIRS)

    for who in ("technician2", "requester", "auditor", "administrator"):
        other = browser()
        other.sign_in(who, back_to=page)
        assert other.get(page).status_code == 404, who

    assert rows(desk.deployment, but=NOT_THEIRS) == before
    assert desk.only(ticket).state is State.SIGN_IN_NEEDED
    assert practice.activation_requests("technician") == practice.activation_requests("technician2") == []


def test_the_technicians_own_sign_in_makes_it_go_on(desk: Desk, practice: Practice, browser: Open) -> None:
    """Without this, the refusals above would prove nothing."""
    desk.link("technician")
    practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})
    ticket, page = parked(desk, practice, "technician")

    assert browser().sign_in("technician", back_to=page).status_code == 303

    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE
    assert len(practice.activation_requests("technician")) == 1


def address_changed(desk: Desk, practice: Practice) -> tuple[str, str, str]:
    """A ticket that waits for its first sign-in, its page, and the new address that its technician has by now."""
    ticket, page = parked(desk, practice, "technician")
    new = "technician.newname@practice.example"
    practice.control("/people/technician", {"mail": new, "helpdesk_mail": new})
    return ticket, page, new


def test_a_technician_whose_address_changed_while_their_ticket_waited_signs_in_once(
    desk: Desk, practice: Practice, browser: Open
) -> None:
    """A link with the address of the pick would be suspended at once, and the ticket ask for a sign-in for ever."""
    ticket, page, new = address_changed(desk, practice)

    assert browser().sign_in("technician", back_to=page).status_code == 303

    desk.sweep()
    assert desk.only(ticket).state is State.ACTIVE
    link = link_of(desk, "technician")
    assert link is not None
    assert (link.address, link.suspended_at) == (new, None)


def test_a_ticket_that_is_another_technicians_by_now_links_nobody(
    desk: Desk, practice: Practice, browser: Open
) -> None:
    ticket, page = parked(desk, practice, "technician")
    practice.assign(ticket, "technician2")

    assert browser().sign_in("technician", back_to=page).status_code == 403

    assert rows(desk.deployment)["links"] == []


def test_a_sign_in_links_by_the_address_of_the_pick_while_the_helpdesk_does_not_answer(
    desk: Desk, practice: Practice, browser: Open
) -> None:
    _, page = parked(desk, practice, "technician")
    fault = {"match": {"side": "helpdesk"}, "kind": "status", "status": 503, "times": 1}
    practice.control("/faults", fault)

    assert browser().sign_in("technician", back_to=page).status_code == 303

    link = link_of(desk, "technician")
    assert link is not None
    assert link.address == practice.people["technician"]["mail"]
