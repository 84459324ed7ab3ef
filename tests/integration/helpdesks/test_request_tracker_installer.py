"""The installer of the Request Tracker extension, run with a stand-in for RT's own set-up program."""

import base64
import getpass
import subprocess
from pathlib import Path

import pytest

INSTALLER = Path(__file__).parents[3] / "integration" / "helpdesks" / "rt" / "install.sh"
WEBHOOK = "https://elevate.example.org/webhooks/rt"
ELEVATE = "https://elevate.example.org/elevate/rt/{ticket}"


def test_it_puts_everything_in_place_and_makes_a_secret(install, folder):
    done = install("--queue", "Help desk", "--queue", "Accounts")

    assert done.returncode == 0, done.stderr
    assert (folder / "plugins/RT-Extension-TicketElevate/lib/RT/Action/TicketElevate.pm").exists()
    secret = folder / "secret"
    assert secret.stat().st_mode & 0o777 == 0o400
    assert len(base64.b64decode(secret.read_text().strip().removeprefix("whsec_"))) == 32
    settings = (folder / "conf.d/90-ticket-elevate.pm").read_text()
    assert f"Set($TicketElevateWebhook, '{WEBHOOK}');" in settings
    assert "whsec_" not in settings + done.stdout
    assert (folder / "queues").read_text().strip() == "Help desk,Accounts"
    assert "restart RT's web server" in done.stdout


def test_run_again_it_keeps_the_secret(install, folder):
    install()
    secret = (folder / "secret").read_text()
    again = install()

    assert again.returncode == 0, again.stderr
    assert (folder / "secret").read_text() == secret
    assert "A new signing secret" not in again.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--webhook", "elevate.example.org"), "--webhook must be an http(s) address."),
        (("--page", "https://elevate.example.org/"), "--page must be an http(s) address with {ticket} in it."),
        (("--page", "https://e/{ticket}'); system('x"), "must not hold quotes or backslashes"),
        (("--owner", "no-such-user-here"), "there is no user 'no-such-user-here' here"),
        (("--site-config-dir", "/no/such/folder"), "there is no folder /no/such/folder"),
        (("--ca-bundle", "/no/such/file"), "cannot read /no/such/file"),
        (("--webhok", "x"), "'--webhok' is not an option"),
        (("--queue",), "--queue needs a value"),
        (("--setup-database", "/bin/false"), "the scrips could not be put into RT's database"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(install, options, sentence):
    done = install(*options)

    assert done.returncode == 1
    assert sentence in done.stderr


def test_a_file_that_is_not_a_secret_is_refused_and_not_shown(install, folder):
    (folder / "secret").write_text("whsec_short-canary\n")
    done = install()

    assert done.returncode == 1
    assert "does not hold one line" in done.stderr
    assert "canary" not in done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "conf.d").mkdir()
    program = tmp_path / "setup-database"
    program.write_text(f'#!/bin/sh\necho "$TICKET_ELEVATE_QUEUES" >{tmp_path}/queues\n')
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def install(folder):
    usual = {
        "--webhook": WEBHOOK,
        "--page": ELEVATE,
        "--secret-file": folder / "secret",
        "--owner": getpass.getuser(),
        "--plugins": folder / "plugins",
        "--site-config-dir": folder / "conf.d",
        "--setup-database": folder / "setup-database",
    }

    def run(*options):
        before = [str(word) for pair in usual.items() for word in pair]
        return subprocess.run(["sh", str(INSTALLER), *before, *options], capture_output=True, text=True, timeout=30)

    return run
