"""Puts the parts together: four servers over one tenant, one helpdesk and one clock."""

from __future__ import annotations

import argparse
import secrets
from typing import Any

import jwt
from flask import Flask

from sandbox.azure import Azure
from sandbox.clock import Clock
from sandbox.control import Control
from sandbox.credentials import Credentials
from sandbox.desk import SERVICE, Desk
from sandbox.desk_api import DeskApi
from sandbox.desk_pages import DeskPages
from sandbox.graph import Graph
from sandbox.sender import Sender
from sandbox.serve import Certificates, Server
from sandbox.sign_in import SignIn
from sandbox.tenant import Tenant
from sandbox.token_endpoint import TokenEndpoint
from sandbox.tokens import Keys
from sandbox.traffic import Traffic, WsgiApp
from sandbox.vendors import VENDORS

CALLBACK = "http://localhost/sign-in/callback"


class Practice:
    def __init__(self, args: argparse.Namespace) -> None:
        self.clock = Clock()
        self.traffic = Traffic(self.clock)
        self.tenant = Tenant(self.clock, args.active_minimum, args.instance_delay, args.audit_delay)
        self.keys = Keys()
        self.sender = Sender(self.clock)
        self.sender.url = args.webhook_url
        if args.webhook_secret:
            self.sender.secrets = [args.webhook_secret]
        self.desk = Desk(self.tenant, self.clock, self.sender.send)
        self.desk.elevate_url = args.elevate_url
        self.vendor = VENDORS[args.helpdesk](self.desk, self.sender, self.clock) if args.helpdesk else None
        if self.vendor:
            self.sender.dialect = self.vendor.dialect
            self.desk.shown_as = self.vendor.number
        names = args.hosts or (None, None, None)
        self.certificates = Certificates(args.dir, args.hosts)
        self.credentials = Credentials(args.dir)
        self.login, self.graph, self.arm = (Server(self.certificates, name) for name in names)
        self.pages, self.helpdesk = Server(), Server()
        self.tenant.authority = f"{self.login.url}/{self.tenant.tenant_id}"
        # A person's browser does not know the local authority, so what it opens is plain http.
        self.tenant.page_authority = f"{self.pages.url}/{self.tenant.tenant_id}"
        self.tenant.graph_url, self.tenant.arm_url = self.graph.url, self.arm.url
        self.tenant.redirect_uris = [CALLBACK, *args.redirect_uri]

    def start(self) -> None:
        sign_in = SignIn(self.tenant, self.keys)
        control = Control(self.clock, self.traffic, self.tenant, self.keys, self.desk, self.sender, self.credentials)
        login, pages, helpdesk = Flask("sandbox"), Flask("sandbox"), Flask("sandbox")
        login.register_blueprint(sign_in.blueprint())
        login.register_blueprint(TokenEndpoint(self.tenant, self.keys, self.credentials).blueprint())
        pages.register_blueprint(sign_in.blueprint())
        pages.register_blueprint(control.blueprint())
        helpdesk.secret_key = secrets.token_bytes(32)
        # Cookies do not know ports: the name keeps this one apart from the product's on localhost.
        helpdesk.config.update(SESSION_COOKIE_NAME="practice_helpdesk", SESSION_COOKIE_SAMESITE="Lax")
        helpdesk.register_blueprint(DeskApi(self.desk).blueprint())
        helpdesk.register_blueprint(DeskPages(self.desk, self.vendor).blueprint())
        if self.vendor:
            helpdesk.register_blueprint(self.vendor.blueprint())
        graph = Graph(self.tenant, self.keys).app()
        for side, server, app in (
            ("login", self.login, login),
            ("login", self.pages, pages),
            ("graph", self.graph, graph),
            ("arm", self.arm, Azure(self.tenant, self.keys).app()),
            ("helpdesk", self.helpdesk, helpdesk),
        ):
            as_wsgi: WsgiApp = app.wsgi_app
            server.start(self.traffic.around(side, as_wsgi, self._who))
        self.sender.start()

    def _who(self, bearer: str) -> str | None:
        """Whose token it is, for the log: a person's key or the service account."""
        account = self.desk.by_token(bearer)
        if account:
            return account.id
        try:
            claims = jwt.decode(bearer, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return None
        person = self.tenant.by_oid(str(claims.get("oid")))
        return person.key if person else None

    def stop(self) -> None:
        self.sender.stop()
        for server in (self.login, self.pages, self.graph, self.arm, self.helpdesk):
            server.stop()

    def _generic(self) -> dict[str, Any]:
        return {
            "kind": "generic",
            "url": self.helpdesk.url,
            "token": self.desk.service_token,
            "service_account": SERVICE.id,
            "check_url": "/api/me",
            "tickets_url": "/api/tickets?assignee={account}&per_page=100",
            "changes_url": "/api/tickets?updated_since={since}&page={page}&per_page=100",
            "secrets": {"first": self.sender.secrets[0]},
        }

    def facts(self) -> dict[str, Any]:
        """What sandbox.json says."""
        return {
            "authority": self.tenant.authority,
            "tenant_id": self.tenant.tenant_id,
            "graph_url": self.graph.url,
            "arm_url": self.arm.url,
            "ports": {server.url: server.port for server in (self.login, self.graph, self.arm)},
            "ca_bundle": str(self.certificates.bundle.resolve()),
            "client_id": self.tenant.client_id,
            "client_secret": self.tenant.client_secret,
            "client_certificate": str(self.credentials.path.resolve()),
            "helpdesk_url": self.helpdesk.url,
            "helpdesk_token": self.desk.service_token,
            "helpdesk_service_account": SERVICE.id,
            "webhook_secret": self.sender.secrets[0],
            "helpdesk": self.vendor.settings(self.helpdesk.url) if self.vendor else self._generic(),
            "helpdesk_once": getattr(self.vendor, "once", {}),
            "helpdesk_accounts": {
                key: self.vendor.account(it.account) if self.vendor else it.account
                for key, it in self.tenant.people.items()
            },
            "helpdesk_number": self.vendor.number if self.vendor else "{number}",
            "practice_url": self.pages.url,
            "redirect_uris": self.tenant.redirect_uris,
            "people": [person.public() for person in self.tenant.people.values()],
        }
