"""Every order of what can happen to a request: approved, denied, confirmed, solved, handed over, ended, killed ...

A state machine decides the order. Contract: whatever it was, once all is healed and heard of, no role is left in the
tenant, no request of ours waits, nothing is open here, and the judge finds nothing in anybody's log.
The usual profile tells a few stories; `HYPOTHESIS_PROFILE=nightly` tells at least 2,000 (docs/contributors.md).
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from integration.deployment import Deployment
from integration.elevation import OPEN, EndReason, State
from integration.entra.errors import EntraError
from integration.records import people
from integration.targets import Target, TargetKind
from tests.conftest import Desk, Practice, settings_for
from tests.workers.conftest import complaints, unlike_the_tables
from tests.workers.test_random_stories import left_over
from webhooks import current, linking
from workers import longer
from workers.deciding import decide
from workers.ending import let_go
from workers.run import Due, Run

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
CATEGORIES = ("Password reset", "MFA reset", "BitLocker key", "Investigation", "Unlock")
ANY = st.integers(0, len(CATEGORIES) - 1)
ROLES = ("Password Administrator", "Authentication Administrator", "Cloud Device Administrator", "Reports Reader")
WATCHED = "Unlock"
RULES = """
[[rule]]
name = "Password"
match = { category = "Password reset" }
roles = ["Password Administrator"]
duration = "30m"

[[rule]]
name = "MFA"
match = { category = "MFA reset" }
roles = ["Authentication Administrator"]
duration = "30m"

[[rule]]
name = "Device"
match = { category = "BitLocker key" }
roles = ["Cloud Device Administrator"]
duration = "30m"

[[rule]]
name = "Both"
match = { category = "Investigation" }
roles = ["Authentication Administrator", "Reports Reader"]
bundle = "all"
duration = "30m"

[[rule]]
name = "Watching"
match = { category = "Unlock" }
roles = ["Password Administrator"]
mode = "watch"
"""
MOMENTS = ("activate", "active", "give_back", "withdraw", "pending")


class Killed(BaseException):
    """The worker's process ends here."""


class Orders(RuleBasedStateMachine):
    practice: Practice
    template: Path  # an empty database
    directory: Path
    told: "Orders"  # the one that is being told

    @initialize(approval=st.sets(st.sampled_from(ROLES)), context=st.sampled_from([None, *ROLES]))
    def opens(self, approval: set[str], context: str | None) -> None:
        type(self).told = self
        self.practice.control("/reset")
        self.practice.control("/settings", {"instance_delay": 0, "active_minimum": 300})
        for role in ROLES:
            policy: dict[str, Any] = {"approval_required": role in approval}
            if role == context:
                policy["authentication_context"] = "c1"
            self.practice.control(f"/policies/{role}", policy)
        place = Path(tempfile.mkdtemp(dir=self.directory))
        shutil.copy(self.template, place / "elevate.sqlite")
        (place / "rules.toml").write_text(RULES)
        url = f"sqlite:///{place}/elevate.sqlite"
        settings = settings_for(self.practice, url, place, rules_file=place / "rules.toml")
        self.deployment = Deployment(settings)
        self.at_the_portal = False
        self.desk = Desk(self.deployment, self.practice)
        self.desk.link()
        self.tickets = [self.practice.new_ticket(category=category) for category in CATEGORIES]
        self.place = place

    def _run(self) -> Run:
        return Run(self.deployment, cause="click", clock=self.desk.now)

    def _step(self, due: Due) -> None:
        with contextlib.suppress(Killed):
            self.desk.step(due)

    @rule(at=ANY, hears=st.booleans())
    def picks(self, at: int, hears: bool) -> None:
        self.practice.set_status(self.tickets[at], "open")
        self.practice.assign(self.tickets[at])
        if hears:
            self.desk.deliver(self.tickets[at])

    @rule(at=ANY, hears=st.booleans())
    def solves(self, at: int, hears: bool) -> None:
        self.practice.solve(self.tickets[at])
        if hears:
            self.desk.deliver(self.tickets[at])

    @rule(at=ANY, hears=st.booleans())
    def hands_over(self, at: int, hears: bool) -> None:
        self.practice.assign(self.tickets[at], "technician2")
        if hears:
            self.desk.deliver(self.tickets[at])

    @rule(at=ANY)
    def is_heard_of(self, at: int) -> None:
        self.desk.deliver(self.tickets[at])

    @rule(at=ANY)
    def ends_now(self, at: int) -> None:
        for it in self.desk.elevations(self.tickets[at]):
            for due in let_go(self._run(), it.id, EndReason.END_NOW):
                self._step(due)

    @rule(at=ANY)
    def needs_longer(self, at: int) -> None:
        run = self._run()
        for it in self.desk.elevations(self.tickets[at]):
            if it.state is not State.ACTIVE:
                continue
            plan = decide(run, it, run.ticket(it.connection, it.ticket))
            room = longer.room(run, it, plan) if hasattr(plan, "total") else timedelta()
            if room:
                for due in longer.ask(run, it, int(room.total_seconds())):
                    self._step(due)

    @rule(decision=st.sampled_from(["approve", "deny"]))
    def an_approver_decides(self, decision: str) -> None:
        waiting = [r for r in self.practice.activation_requests() if r["status"] == "PendingApproval"]
        if waiting:
            self.practice.control(f"/requests/{waiting[0]['id']}", {"decision": decision, "reason": "As it is."})

    def _in_portal(self, act: Callable[..., object], *args: object) -> None:
        who = self.practice.facts["tenant_id"], self.practice.people["technician"]["oid"], self.desk.now()
        self.at_the_portal = True
        with contextlib.suppress(EntraError):  # the portal, too, is answered no, late or not at all
            act(*who, *args)

    @rule(at=st.integers(0, 9))
    def is_ended_in_the_portal(self, at: int) -> None:
        if active := self.practice.active_roles():
            target = Target(TargetKind.DIRECTORY_ROLE, active[at % len(active)], "/")
            self._in_portal(self.deployment.tenant.give_back, target)

    @rule()
    def is_withdrawn_in_the_portal(self) -> None:
        for it in self.practice.activation_requests():
            if it["status"] == "PendingApproval":
                target = Target(TargetKind.DIRECTORY_ROLE, it["roleDefinitionId"], "/")
                self._in_portal(self.deployment.tenant.withdraw, target, it["id"])

    @rule()
    def confirms(self) -> None:
        """The technician answers what the tenant asks, from one of the tickets that wait for it."""
        with self.deployment.records.read() as connection:
            link = people.link_of(connection, "practice", "technician")
        asked = [it for ticket in self.tickets for it in self.desk.elevations(ticket) if it.challenge]
        if link is None or not asked:
            return
        self.desk.sign_in(claims=asked[0].challenge)
        linking.resume([link], self.desk.now(), came_from=asked[0].id, answered=asked[0].challenge)

    @rule()
    def loses_the_sign_in(self) -> None:
        self.practice.control("/people/technician", {"revoke_sign_ins": True, "expire_access_tokens": True})

    @rule()
    def signs_in(self) -> None:
        self.desk.sign_in()
        with self.deployment.records.read() as connection:
            link = people.link_of(connection, "practice", "technician")
        assert link is not None
        linking.wake_activations(link.tid, link.oid, self.desk.now())
        linking.resume([link], self.desk.now())

    @rule(seconds=st.sampled_from([1, 20, 61, 301, 1800, 3700, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.desk.advance(timedelta(seconds=seconds))

    @rule()
    def is_swept(self) -> None:
        self.desk.sweep()

    @rule(moment=st.sampled_from(MOMENTS), done=st.booleans())
    def is_killed(self, moment: str, done: bool) -> None:
        """The next step that asks this of the tenant dies: before it asks, or right after it was answered."""
        tenant = self.deployment.tenant
        real: Callable[..., Any] = getattr(type(tenant), moment)

        def dying(*args: Any, **more: Any) -> Any:
            delattr(tenant, moment)
            if done:
                real(tenant, *args, **more)
            raise Killed

        setattr(tenant, moment, dying)
        with contextlib.suppress(Killed):
            self.desk.sweep()
        vars(tenant).pop(moment, None)

    @rule(fault=st.sampled_from(["lose_answer", "drop", "throttle"]), times=st.integers(1, 2))
    def the_tenant_fails(self, fault: str, times: int) -> None:
        more = {"retry_after": "3"} if fault == "throttle" else {}
        match = {"side": "graph", "method": "POST"}
        self.practice.control("/faults", {"match": match, "kind": fault, "times": times, **more})

    @invariant()
    def nobody_has_more_than_they_asked_for(self) -> None:
        if hasattr(self, "tickets"):
            active = self.practice.active_roles()
            assert len(active) == len(set(active))

    def teardown(self) -> None:
        if not hasattr(self, "place"):
            return
        requests.delete(f"{self.practice.facts['practice_url']}/_practice/faults", timeout=10).raise_for_status()
        self.signs_in()
        for ticket in self.tickets:
            self.practice.solve(ticket)
            self.desk.deliver(ticket)
        for _ in range(12):
            self.desk.advance(timedelta(minutes=6))
            self.desk.sweep()
        try:
            open_ones = [it.state for ticket in self.tickets for it in self.desk.elevations(ticket) if it.state in OPEN]
            assert open_ones == []
            assert self.practice.notes(self.tickets[CATEGORIES.index(WATCHED)]) == []
            assert left_over(self.desk) == {}
            assert self.practice.active_roles() == []
            waiting = [r for r in self.practice.activation_requests() if r["status"] == "PendingApproval"]
            assert waiting == []
            assert unlike_the_tables(self.desk) == []
            found = complaints(self.desk, self.practice)
            # What the technician gave back by hand here was asked for with the same app, as the judge cannot know.
            assert [it for it in found if not (self.at_the_portal and it.startswith("5:"))] == []
        finally:
            self.deployment.records.dispose()
            shutil.rmtree(self.place)


@pytest.mark.timeout(0 if NIGHTLY else 300)
def test_every_order_ends_well(practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty.sqlite"
    made = Deployment(settings_for(practice, f"sqlite:///{empty}", tmp_path))
    made.records.migrate()
    made.records.dispose()

    class Told(Orders):
        pass

    Told.practice, Told.template, Told.directory = practice, empty, tmp_path
    # What the pages do when somebody signs in, without the pages and without a queue: all steps are made by hand here.
    monkeypatch.setattr(current, "deployment", lambda: Told.told.deployment)
    monkeypatch.setattr(linking, "wake", lambda due: None)
    profile = settings(
        max_examples=2000 if NIGHTLY else 40,
        stateful_step_count=14,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(Told, settings=profile)
