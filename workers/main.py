"""What `celery -A workers.main` runs: the app, told by the settings where its queue is."""

from workers.app import app, configure, deployment

configure(deployment().settings.redis_url)

__all__ = ["app"]
