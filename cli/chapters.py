"""Further chapters of the demonstration: a tenant that wants a confirmation, and one that wants an approver."""

import requests

from cli.cast import Cast
from cli.stage import StepNotSeen, wait


def step_up(cast: Cast, browser: requests.Session) -> None:
    """The role's policy asks for an authentication context that the sign-in did not show."""
    role = "Authentication Administrator"
    cast.policy(role, authentication_context="c1")
    cast.say("tenant", f"{role} now needs an authentication context")
    ticket = cast.new_ticket("MFA reset", "Lost the phone with the second factor")
    cast.assign(ticket)
    note = cast.note(ticket, "please confirm once at")
    cast.say("ticket", f"{ticket}: {note.splitlines()[0]}")
    cast.sign_in(browser, cast.link_in(note))
    cast.say("technician", "confirms with Microsoft, once, and is back on a page that is already progressing")
    wait(f"{role} is active in the tenant", lambda: cast.active(role))
    cast.say("ticket", f"{ticket}: {cast.note(ticket, 'is active until').splitlines()[0]}")
    cast.solve(ticket)
    cast.say("ticket", f"{ticket}: {cast.note(ticket, 'was given back').splitlines()[0]}")


def approval(cast: Cast) -> None:
    """The role's policy asks for an approver, who finds the ticket beside the request."""
    role = "Cloud Device Administrator"
    cast.policy(role, approval_required=True)
    cast.say("tenant", f"{role} now needs an approver")
    ticket = cast.new_ticket("BitLocker key", "Asks for the recovery key")
    cast.assign(ticket)
    note = cast.note(ticket, "waits for an approver")
    cast.say("ticket", f"{ticket}: {note.splitlines()[0]}")
    browser = cast.browser()
    page = cast.sign_in(browser, f"{cast.public_url}/approvals", "approver")
    if "Asks for the recovery key" not in page.text:
        raise StepNotSeen("the approver's page shows the ticket beside the request")
    cast.say("approver", "sees the request with the ticket's facts beside it, and approves it")
    cast.press(browser, page, "/approvals/", decision="approve", reason="The device is the requester's.")
    cast.say("ticket", f"{ticket}: {cast.note(ticket, 'Approved by').splitlines()[0]}")
    wait(f"{role} is active in the tenant", lambda: cast.active(role))
    cast.say("ticket", f"{ticket}: {cast.note(ticket, 'is active until').splitlines()[0]}")
    cast.solve(ticket)
    cast.say("ticket", f"{ticket}: {cast.note(ticket, 'was given back').splitlines()[0]}")
