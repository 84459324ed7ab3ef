"""Administration. Contract: administrators see how everything is without a shell, nobody else sees anything of it, and
the one thing that can be done here (deleting a sign-in) names its person, wants a fresh sign-in and is written down."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from integration.brake import OF_HELPDESK
from integration.deployment import Deployment
from integration.records import administration as records
from integration.records import examinations, heartbeats, journal
from integration.records.brake import BrakeRows
from integration.records.tables import comments, deliveries, elevations, links, token_caches, web_sessions
from integration.tickets import Finding
from tests.conftest import Desk, Practice, settings_for
from tests.webhooks.conftest import Browser, rows, words
from tests.webhooks.test_doors import PAYLOADS, elements
from webhooks.administration import Pulse, pulse
from webhooks.app import create_app
from workers import doctor
from workers.app import app as celery
from workers.run import Due, What

Open = Callable[..., Browser]
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
PAGES = ("/administration", "/administration/rules", "/administration/sign-ins")


def sign_in_of(practice: Practice, who: str = "technician") -> str:
    return f"/administration/sign-ins/{practice.facts['tenant_id']}/{practice.people[who]['oid']}"


@pytest.mark.parametrize("who", ["auditor", "technician", None])
def test_nobody_but_an_administrator_sees_or_does_anything(
    browser: Open, deployment: Deployment, practice: Practice, who: str | None
) -> None:
    browser("technician")
    it, hidden = browser(who), 401 if who is None else 404
    before = rows(deployment)
    for path in (*PAGES, sign_in_of(practice)):
        assert it.get(path).status_code == hidden
        assert "Technician One" not in it.get(path).text.replace("<span", "") or who == "technician"
    for path in ("/administration/examine", sign_in_of(practice)):
        assert it.press(path).status_code == hidden
    assert rows(deployment) == before
    assert "Administration" not in it.get("/").text


def test_the_menu_leads_an_administrator_there(browser: Open) -> None:
    me = browser("administrator")
    assert 'href="/administration"' in me.get("/").text
    for path in PAGES:
        assert me.get(path).status_code == 200


@pytest.mark.parametrize(
    ("swept", "waiting", "means"),
    [
        (NOW - timedelta(seconds=60), None, Pulse.WORKS),
        (NOW - timedelta(seconds=61), None, Pulse.QUEUE_AWAY),
        (None, 3, Pulse.NO_WORKER),
        (NOW - timedelta(hours=1), 0, Pulse.NO_BEAT),
    ],
)
def test_a_missing_sweep_says_which_part_to_look_at(swept: datetime | None, waiting: int | None, means: Pulse) -> None:
    assert pulse(swept, waiting, NOW) is means


def test_the_queue_is_asked_by_the_name_that_celery_gives_it() -> None:
    assert celery.conf.task_default_queue == doctor.QUEUE


def test_a_sweep_is_shown_as_work_that_goes_on(browser: Open, deployment: Deployment) -> None:
    me = browser("administrator")
    assert "Redis does not answer" in words(me.get("/administration"))
    with deployment.records.write() as tx:
        heartbeats.beat(tx, heartbeats.SWEEP, now=datetime.now(UTC))
    assert "Work goes on" in words(me.get("/administration"))


def test_a_helpdesk_that_asked_to_wait_is_not_taken_for_the_tenant(browser: Open, deployment: Deployment) -> None:
    me, brakes, until = browser("administrator"), BrakeRows(deployment.records), datetime.now(UTC) + timedelta(hours=1)
    brakes.hold(f"{OF_HELPDESK}{'d' * 64}:notes", until)
    assert "asked everybody to wait" not in words(me.get("/administration"))
    brakes.hold("graph", until)
    assert "asked everybody to wait" in words(me.get("/administration"))


def test_findings_are_asked_for_once_and_brought_by_a_worker(browser: Open, desk: Desk) -> None:
    me = browser("administrator")
    assert "Nobody has asked yet" in words(me.get("/administration"))
    for _ in range(2):
        assert me.press("/administration/examine").status_code == 303
    assert "A worker was asked" in words(me.get("/administration"))
    with desk.deployment.records.read() as connection:
        asked = examinations.last(connection)
    assert asked is not None
    assert asked.version == 1

    desk.step(Due(What.EXAMINATION, asked.id))

    page = words(me.get("/administration"))
    assert "A worker was asked" not in page
    assert "queue" in page
    assert "Is `ticket-elevate run` running?" in page
    with desk.deployment.records.read() as connection:
        done = examinations.last(connection)
    assert done is not None
    assert done.done_at is not None
    assert done.due_at == done.done_at + examinations.AGAIN


def test_a_sign_in_is_deleted_on_a_page_that_names_its_person_and_the_journal_names_who_did_it(
    both: Deployment, practice: Practice
) -> None:
    app = create_app(both)
    me, technician = Browser(app.test_client(), practice), Browser(app.test_client(), practice)
    technician.sign_in("technician")
    me.sign_in("administrator")
    path = sign_in_of(practice)
    assert path in me.get("/administration/sign-ins").text
    asked = words(me.get(path))
    assert "Delete the sign-in of Technician One?" in asked
    assert "own: you are signed out" not in asked

    answer = me.press(path)

    assert answer.status_code == 303
    assert "The sign-in was deleted" in words(me.get(answer.location))
    assert path not in me.get("/administration/sign-ins").text
    assert technician.get("/").status_code == 401
    assert me.get(path).status_code == 404
    twice = me.press(path)
    assert twice.status_code == 409
    assert "it was deleted already" in words(twice)
    with both.records.read() as connection:
        lines = [json.loads(line) for line in journal.export(connection)]
    (purged,) = [it for it in lines if it["entry"]["kind"] == "signin.purged"]
    assert (purged["entry"]["cause"], purged["entry"]["facts"]["why"]) == ("click", "purged")
    told = json.dumps(purged)
    assert practice.people["administrator"]["oid"] in told
    assert practice.people["technician"]["oid"] in told


@pytest.mark.parametrize(
    ("since", "answer", "says"), [("2026-01-01T00:00:00+00:00", 401, "Sign in once more"), ("", 403, "auth_time")]
)
def test_a_sign_in_is_only_deleted_on_a_fresh_one(
    browser: Open, deployment: Deployment, practice: Practice, since: str, answer: int, says: str
) -> None:
    browser("technician")
    me = browser("administrator")
    with deployment.records.write() as tx:
        mine = web_sessions.c.oid == practice.people["administrator"]["oid"]
        data = json.loads(tx.execute(sa.select(web_sessions.c.data).where(mine)).scalar_one())
        tx.execute(web_sessions.update().where(mine).values(data=json.dumps({**data, "signed_in_at": since or None})))
    pressed = me.press(sign_in_of(practice))
    assert pressed.status_code == answer
    assert says in words(pressed)
    assert me.get(sign_in_of(practice)).status_code == 200
    if answer == 401:
        assert me.sign_in("administrator", back_to=sign_in_of(practice)).location == sign_in_of(practice)


def test_the_one_who_deletes_their_own_is_told_that_they_are_signed_out(browser: Open, practice: Practice) -> None:
    me = browser("administrator")
    assert "This is your own" in words(me.get(sign_in_of(practice, "administrator")))
    me.press(sign_in_of(practice, "administrator"))
    assert me.get("/administration").status_code == 401


def test_sign_ins_are_found_by_name_address_or_id_and_those_that_ended_come_first(
    browser: Open, deployment: Deployment, practice: Practice
) -> None:
    browser("technician")
    me = browser("administrator")
    with deployment.records.write() as tx:
        mine = token_caches.c.oid == practice.people["administrator"]["oid"]
        tx.execute(token_caches.update().where(mine).values(lost_at=datetime.now(UTC), lost_why="Revoked."))
    page = words(me.get("/administration/sign-ins"))
    assert page.index("Administrator One") < page.index("Technician One", page.index("Administrator One"))
    assert "Revoked." in page
    for asked in ("technician one", "technician@", practice.people["technician"]["oid"]):
        found = me.get("/administration/sign-ins", query_string={"who": asked}).text
        assert sign_in_of(practice) in found
        assert sign_in_of(practice, "administrator") not in found
    assert "No sign-in matches" in me.get("/administration/sign-ins?who=nobody-has-this-name").text


def test_what_rules_did_is_counted_by_rule_on_both_databases(both: Deployment, practice: Practice) -> None:
    now = datetime.now(UTC)

    def row(number: int, rule: str, state: str, minutes: int | None = None, **more: object) -> dict[str, object]:
        began = now - timedelta(days=2)
        times = {} if minutes is None else {"active_at": began, "ended_at": began + timedelta(minutes=minutes)}
        ids = {"id": f"E{number}", "connection": "practice", "ticket": str(number), "account": "a", "pick": str(number)}
        return {**ids, "state": state, "version": 1, "created_at": began, "attempts": 0, "rule": rule, **times, **more}

    made = [row(n, "password-reset", "ended", minutes) for n, minutes in enumerate((1, 2, 10, 30))]
    made += [row(10, "password-reset", "refused"), row(11, "password-reset", "failed")]
    made += [row(20, "gone", "watched", justification="x"), row(21, "gone", "watched"), row(22, "gone", "ended", 7)]
    made += [row(30, "password-reset", "ended", 500, created_at=now - timedelta(days=31))]
    made += [row(31, "password-reset", "ended", 500, emergency=True)]
    with both.records.write() as tx:
        for each in made:
            tx.execute(elevations.insert().values(each))
    with both.records.read() as connection:
        did = records.by_rule(connection, since=now - timedelta(days=30))
    it = did["password-reset"]
    assert (it.activated, it.refused, it.failed, it.watched, it.minutes) == (4, 1, 1, 0, pytest.approx(6, abs=0.01))
    gone = did["gone"]
    assert (gone.activated, gone.watched, gone.would, gone.minutes) == (1, 2, 1, pytest.approx(7, abs=0.01))

    me = Browser(create_app(both).test_client(), practice)
    me.sign_in("administrator")
    page = words(me.get("/administration/rules"))
    assert "no longer in the file" in page
    assert "1 would have activated" in page


def test_a_rules_file_that_was_changed_meanwhile_is_said_with_its_mistakes(
    practice: Practice, deployment: Deployment, tmp_path: Path
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nname = "a"\nroles = ["Global Reader"]\nmatch = { category = "x" }\n')
    url = deployment.settings.database_url
    running = Deployment(settings_for(practice, url, tmp_path, rules_file=file))
    me = Browser(create_app(running).test_client(), practice)
    me.sign_in("administrator")
    assert "was changed" not in words(me.get("/administration/rules"))
    file.write_text(file.read_text() + "# x\n")
    assert "are in force until" in words(me.get("/administration/rules"))
    file.write_text('[[rule]]\nname = "<b>"\nrole = "x"\n')
    page = me.get("/administration/rules")
    assert f"{file}:3: " in words(page)
    assert "<b>" not in page.text
    running.records.dispose()


def test_what_waits_for_a_helpdesk_is_shown_with_its_error_on_both_databases(
    both: Deployment, practice: Practice
) -> None:
    now = datetime.now(UTC)
    me = Browser(create_app(both).test_client(), practice)
    me.sign_in("administrator")
    assert "never" in words(me.get("/administration"))
    ids = {"delivery_id": "d", "ticket": "7", "kind": "ticket.assigned", "secret": "first", "version": 1, "attempts": 2}
    with both.records.write() as tx:
        tx.execute(
            deliveries.insert().values(
                id="D", connection="practice", received_at=now, due_at=now, outcome="It does not answer.", **ids
            )
        )
        tx.execute(
            comments.insert().values(
                id="C", connection="practice", ticket="7", elevation="E", step="active", text="canary", version=1,
                created_at=now, due_at=now + timedelta(hours=1), attempts=1, outcome="It refused our call."
            )
        )  # fmt: skip
    page = words(me.get("/administration"))
    assert "It does not answer." in page
    assert "1 delivery waits for it." in page
    assert "It refused our call." in page
    assert "canary" not in page


def test_no_page_holds_a_secret(browser: Open, deployment: Deployment, practice: Practice, desk: Desk) -> None:
    browser("technician")
    me = browser("administrator")
    me.press("/administration/examine")
    desk.step(Due(What.EXAMINATION, examinations.ONE))
    secrets = [practice.facts[name] for name in ("client_secret", "helpdesk_token", "webhook_secret")] + Path(
        deployment.settings.key_file
    ).read_text().split()
    for path in (*PAGES, sign_in_of(practice)):
        page = me.get(path).text
        for secret in secrets:
            assert secret not in page, path


def test_hostile_words_add_no_element(browser: Open, deployment: Deployment, practice: Practice, desk: Desk) -> None:
    """Threat 30: names, errors of helpdesks, names of rules, findings."""
    desk.link()
    me = browser("administrator")
    now = datetime.now(UTC)
    ids = {"ticket": "7", "secret": "first", "version": 1, "attempts": 2, "received_at": now, "due_at": now}
    with deployment.records.write() as tx:
        tx.execute(deliveries.insert().values(id="D", connection="practice", delivery_id="d", kind="x", **ids))
        examinations.ask(tx, now=now)

    def pages(text: str) -> list[list[tuple[str, tuple[str, ...]]]]:
        with deployment.records.write() as tx:
            mine = web_sessions.c.oid == practice.people["administrator"]["oid"]
            tx.execute(links.update().values(technician=text, address=text))
            tx.execute(deliveries.update().values(kind=text, outcome=text))
            tx.execute(token_caches.update().values(lost_at=now, lost_why=text))
            claimed = examinations.claim(tx, examinations.ONE, now=now + timedelta(days=1))
            assert claimed is not None
            examinations.finish(tx, claimed, [Finding(text, False, text), Finding(text, True)], now=now)
            data = json.loads(tx.execute(sa.select(web_sessions.c.data).where(mine)).scalar_one())
            tx.execute(web_sessions.update().where(mine).values(data=json.dumps({**data, "name": text, "upn": text})))
        shown = [me.get(path) for path in (*PAGES, sign_in_of(practice))]
        shown.append(me.get("/administration/sign-ins", query_string={"who": text, "done": text}))
        assert {page.status_code for page in shown} == {200}
        return [elements(page.text) for page in shown[:-1]]

    plain = pages("x")
    for payload in PAYLOADS:
        assert pages(payload) == plain, payload
