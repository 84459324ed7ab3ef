"""The deployment that the settings in force describe, for as long as one command takes."""

from collections.abc import Iterator
from contextlib import contextmanager

from integration import settings
from integration.deployment import Deployment


@contextmanager
def opened() -> Iterator[Deployment]:
    """Raises SettingsInvalid."""
    deployment = Deployment(settings.load())
    try:
        yield deployment
    finally:
        deployment.records.dispose()
