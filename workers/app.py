"""The Celery app. A task carries an id and nothing else: whoever writes into Redis gains nothing by it."""

import logging
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

import kombu.exceptions
from celery import Celery
from celery.signals import after_task_publish, worker_process_init

from integration import checkpoints, settings
from integration.deployment import Deployment
from integration.records import heartbeats
from integration.records.deliveries import claim_next, forget, let_go
from workers import (
    activations,
    comments,
    deliveries,
    elevations,
    examinations,
    health,
    notices,
    polls,
    roles,
    schedule,
    signins,
)
from workers.run import Due, Run, Step, What, go

log = logging.getLogger(__name__)
ENOUGH_WAITING = 200
STEPS: dict[What, Step] = {
    What.DELIVERY: deliveries.step,
    What.ELEVATION: elevations.step,
    What.ACTIVATION: activations.step,
    What.COMMENT: comments.step,
    What.NOTICE: notices.step,
    What.EXAMINATION: examinations.step,
    What.POLL: polls.step,
}
EACH = 10  # so many deliveries after another: then one that a poll found, though calls still wait
# Of this process, and not of one run, which a helpdesk that leaves little time may end before it came to that.
_TURN = count(1)
BETWEEN, MOST_OTHERS = timedelta(seconds=1), 20  # what else is due has its turn this often under a flood
SHARE = timedelta(seconds=60)  # of one message, well within a task's time limit

app = Celery("ticket_elevate", set_as_current=False)
app.conf.update(
    accept_content=["json"],
    result_accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,  # no result backend: nothing of ours rests in Redis
    worker_enable_remote_control=False,  # on by default, and it lets a Redis writer stop us
    worker_send_task_events=False,
    task_acks_late=False,  # the due row is the retry; a message delivered twice would be noise
    task_time_limit=220,  # a share, and behind it a pick of an Azure role whose source takes its time with each answer
    task_soft_time_limit=200,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 2, "max_retries": 1},
    timezone="UTC",
    beat_schedule={
        "sweep": {"task": "sweep", "schedule": schedule.EVERY_SECONDS, "options": {"expires": 5}},
        "checkpoint": {"task": "checkpoint", "schedule": 300.0, "options": {"expires": 290}},
        "signins": {"task": "signins", "schedule": signins.EVERY_SECONDS, "options": {"expires": 55}},
        "forget": {"task": "forget", "schedule": 60.0, "options": {"expires": 55}},
        "polls": {"task": "polls", "schedule": polls.EVERY_SECONDS, "options": {"expires": 9}},
    },
)


@cache
def deployment() -> Deployment:
    return Deployment(settings.load())


def configure(broker_url: str) -> None:
    """Say where the queue is: the web process and the workers call this once, with the settings' redis_url."""
    app.conf.broker_url = broker_url


@worker_process_init.connect  # type: ignore[untyped-decorator]  # celery has no types
def _after_fork(**_: Any) -> None:
    deployment.cache_clear()  # sockets and database handles must not cross the fork


@app.task(name="advance")  # type: ignore[untyped-decorator]
def advance(what: str, row_id: str) -> None:
    go(Run(deployment(), cause="sweep"), Due(What(what), row_id), STEPS)


@app.task(name="sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Queue what is due while the queue is short: slow workers find no flood, the rows keep until later."""
    room = ENOUGH_WAITING - waiting()
    if room > 0:
        found = schedule.due(deployment(), now=datetime.now(UTC), at_most=room)
        if any(due.what is What.DELIVERY for due in found):
            wake_deliveries()  # in turns, however many there are
        for due in found:
            if due.what is not What.DELIVERY:
                wake(due)
    _swept(datetime.now(UTC))


def _swept(now: datetime) -> None:
    health.mark(deployment().settings.data_dir, health.WORKER)
    if health.should_note(now):
        with deployment().records.write() as tx:
            heartbeats.beat(tx, heartbeats.SWEEP, now=now)


@after_task_publish.connect(sender="sweep")  # type: ignore[untyped-decorator]
def _queued(**_: Any) -> None:
    health.mark(deployment().settings.data_dir, health.BEAT)


def waiting() -> int:
    """How many messages the queue holds. Raises kombu's OperationalError when it is away."""
    with app.connection_for_write() as connection:
        found: int = connection.default_channel.queue_declare(app.conf.task_default_queue).message_count
        return found


@app.task(name="checkpoint")  # type: ignore[untyped-decorator]
def checkpoint() -> None:
    """Sign the journal's checkpoint of today, once however often this is asked for."""
    checkpoints.keep(deployment(), now=datetime.now(UTC))


@app.task(name="signins")  # type: ignore[untyped-decorator]
def look_at_sign_ins() -> None:
    signins.look(deployment())


@app.task(name="polls")  # type: ignore[untyped-decorator]
def begin_polls() -> None:
    polls.begin(deployment(), now=datetime.now(UTC))


@app.task(name="forget")  # type: ignore[untyped-decorator]
def forget_deliveries() -> None:
    with deployment().records.write() as tx:
        let_go(tx, now=datetime.now(UTC))
    with deployment().records.write() as tx:
        forget(tx, deployment().helpdesks, now=datetime.now(UTC))


@app.task(name="roles")  # type: ignore[untyped-decorator]
def read_roles(tid: str, oid: str) -> None:
    if roles.refresh(deployment(), tid, oid):
        wake_roles(tid, oid)  # behind whatever else waits


@app.task(name="deliveries")  # type: ignore[untyped-decorator]
def work_deliveries() -> None:
    """Work the deliveries that are due, oldest first, the connections in turn: a flood of one starves no other."""
    turns = deque(sorted(deployment().helpdesks))
    now = looked = datetime.now(UTC)
    stop = now + SHARE  # the sweep goes on with the rest
    while now < stop:
        if now - looked > BETWEEN:
            _work_others(now)
            looked = now
        with deployment().records.write() as tx:
            taken = claim_next(tx, turns, now=now, found_first=next(_TURN) % EACH == 0)
        if taken is None:
            return
        turns.remove(taken.connection)
        turns.append(taken.connection)
        go(Run(deployment(), cause="sweep"), Due(What.DELIVERY, taken.id, taken), STEPS)
        now = datetime.now(UTC)


def _work_others(now: datetime) -> None:
    """Under a flood of deliveries no sweep gets its turn, and no role would be given back."""
    for due in schedule.due(deployment(), now=now, at_most=MOST_OTHERS):
        if due.what is not What.DELIVERY:
            go(Run(deployment(), cause="sweep"), due, STEPS)


def wake_deliveries() -> None:
    """Tell a worker that deliveries are due. When the queue is away the sweep will find them: nothing is lost."""
    try:
        work_deliveries.apply_async(retry=False, expires=5)
    except (kombu.exceptions.OperationalError, OSError):
        log.warning("queue_away")


def wake(due: Due) -> None:
    """Tell a worker that a row is due. When the queue is away the sweep will find the row: nothing is lost."""
    try:
        advance.apply_async((str(due.what), due.id), retry=False, expires=60)
    except (kombu.exceptions.OperationalError, OSError):
        log.warning("queue_away", extra={"due": due.id})


def wake_roles(tid: str, oid: str) -> bool:
    """Tell a worker that this technician's roles are to be read again. False when the queue is away."""
    try:
        read_roles.apply_async((tid, oid), retry=False, expires=60)
    except (kombu.exceptions.OperationalError, OSError):
        log.warning("queue_away")
        return False
    return True
