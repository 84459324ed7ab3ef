"""The practice helpdesk's pages: sign in as somebody, list, ticket with its buttons."""

from __future__ import annotations

from flask import Blueprint, abort, jsonify, redirect, render_template, request, session
from markupsafe import Markup
from werkzeug.wrappers import Response

from sandbox.desk import Account, Desk, Ticket, Wrong
from sandbox.vendors import HasPanel, LinksAttributes, ShowsApps, Vendor


class DeskPages:
    def __init__(self, desk: Desk, vendor: Vendor | None) -> None:
        self.desk, self.vendor = desk, vendor

    def blueprint(self) -> Blueprint:
        part = Blueprint("pages", __name__)
        part.add_url_rule("/", view_func=self.tickets)
        part.add_url_rule("/sign-in", view_func=self.sign_in, methods=["GET", "POST"])
        part.add_url_rule("/sign-out", view_func=self.sign_out, methods=["POST"])
        part.add_url_rule("/tickets/<number>", view_func=self.ticket)
        part.add_url_rule("/tickets/<number>", view_func=self.act, methods=["POST"], endpoint="act")
        part.add_url_rule("/tickets/<number>/panel", view_func=self.panel, methods=["POST"])
        part.register_error_handler(Wrong, _page_wrong)
        return part

    def _who(self) -> Account | None:
        return self.desk.account(session.get("account"))

    def sign_in(self) -> Response | str:
        if request.method == "POST":
            account = self.desk.account(request.form.get("account"))
            if account is None:
                abort(400)
            session["account"] = account.id
            onward = request.args.get("next", "/")
            return redirect(onward if onward.startswith("/tickets/") else "/")
        return render_template("desk_sign_in.html", accounts=self.desk.accounts(), who=None)

    def sign_out(self) -> Response:
        session.clear()
        return redirect("/sign-in")

    def tickets(self) -> Response | str:
        who = self._who()
        if who is None:
            return redirect("/sign-in")
        with self.desk.lock:
            rows = [self.desk.view(t) for t in self.desk.tickets.values() if who.agent or t.requester == who.id]
        return render_template("desk_tickets.html", tickets=rows, who=who)

    def ticket(self, number: str) -> Response | str:
        who = self._who()
        if who is None:
            return redirect(f"/sign-in?next=/tickets/{number}")
        with self.desk.lock:
            ticket = self.desk.ticket(number)
            if not who.agent and ticket.requester != who.id:
                raise Wrong(404, "not_found", f"There is no ticket {number}.")
            notes = [n for n in ticket.notes if who.agent or not n["internal"]]
            return render_template(
                "desk_ticket.html",
                ticket=self.desk.view(ticket),
                notes=notes,
                history=ticket.history,
                who=who,
                agents=[a for a in self.desk.accounts() if a.agent],
                elevate="" if isinstance(self.vendor, LinksAttributes) else self.desk.elevate_link(ticket),
                links=self._links(ticket, who),
                panel=isinstance(self.vendor, HasPanel) and bool(self.desk.elevate_url),
                app=self._app(ticket, who),
            )

    def panel(self, number: str) -> Response:
        who = self._who()
        if not isinstance(self.vendor, HasPanel) or who is None or not who.agent:
            abort(404)
        told = self.vendor.panel(number, who.id, request.get_json())
        return jsonify(told) if told is not None else Response("Invalid response from remote", 502)

    def _links(self, ticket: Ticket, who: Account) -> list[tuple[str, str, str]]:
        return self.vendor.attribute_links(ticket) if who.agent and isinstance(self.vendor, LinksAttributes) else []

    def _app(self, ticket: Ticket, who: Account) -> Markup:
        if not (who.agent and self.desk.app and isinstance(self.vendor, ShowsApps)):
            return Markup()
        return Markup(self.vendor.shown_app(ticket, who, request.host_url.rstrip("/")))  # noqa: S704  # our own template

    def act(self, number: str) -> Response:
        who = self._who()
        if who is None:
            return redirect(f"/sign-in?next=/tickets/{number}")
        action = request.form.get("action")
        if action == "take":
            self.desk.assign(number, who.id, who)
        elif action == "assign":
            self.desk.assign(number, request.form.get("assignee") or None, who)
        elif action == "solve":
            self.desk.set_status(number, "solved", who)
        elif action == "reopen":
            self.desk.set_status(number, "open", who)
        elif action == "note" and request.form.get("body", "").strip():
            self.desk.add_note(number, request.form["body"], internal=True, by=who)
        return redirect(f"/tickets/{number}")


def _page_wrong(wrong: Wrong) -> tuple[str, int]:
    return render_template("message.html", title="That did not work", text=wrong.message), wrong.status
