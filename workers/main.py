"""What `celery -A workers.main` runs: the app, told by the settings where its queue is."""

import logging
from typing import Any

from celery import signals

from integration import logs
from workers.app import app, configure, deployment

log = logging.getLogger(__name__)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log(**_: Any) -> None:
    """As the web process does. Celery's own lines hold what was being worked on, and no id of ours."""
    logs.install(deployment().settings.log_level)
    logging.getLogger("celery").setLevel(logging.WARNING)  # below, it says twice of each task that there was one


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _ready(**_: Any) -> None:
    log.info("worker_ready")


configure(deployment().settings.redis_url)

__all__ = ["app"]
