"""A real Request Tracker 5 on loopback, for tests: one folder, made in some seconds and thrown away.

Needs Debian's request-tracker5, rt5-db-sqlite and rt5-standalone; `install_packages` gets them where they are missing.
Our extension comes in through its own installer, so that the installer is tested too.
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

PACKAGES = ("request-tracker5", "rt5-db-sqlite", "rt5-standalone")
SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
SETUP_DATABASE = "/usr/sbin/rt-setup-database-5"
INSTALLER = Path(__file__).parents[2] / "integration" / "helpdesks" / "rt" / "install.sh"
QUEUE = "Privileged"
PASSWORD = "only-on-loopback-1"
LOGINS = ("technician", "technician2", "requester", "elevate-bot", "root")

_SITE_CONFIG = """
Set($rtname, 'rt.test'); Set($Organization, 'rt.test'); Set($WebDomain, '127.0.0.1'); Set($WebPort, {port});
Set($Timezone, 'UTC'); Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{dir}/rt.sqlite');
Set($LogToFile, 'info'); Set($LogDir, '{dir}/var/log'); Set($MailCommand, 'mbox');
$RT::VarPath = '{dir}/var'; $RT::MasonDataDir = '{dir}/mason'; $RT::MasonSessionDir = '{dir}/session';
$RT::LocalPath = '{dir}/local'; $RT::LocalLibPath = '{dir}/local/lib';
$RT::MasonLocalComponentRoot = '{dir}/local/html';
$RT::LocalPluginPath = '{dir}/plugins'; $RT::LocalStaticPath = '{dir}/local/static';
$RT::LocalLexiconPath = '{dir}/local/po';
1;
"""

_SEED = """
our (@Users, @Groups, @Queues, @CustomFields, @ACL);
@Users = (map {{ {{ Name => $_, RealName => "The $_", EmailAddress => "$_\\@rt.test", Password => '{password}',
    Privileged => ($_ eq 'requester' ? 0 : 1) }} }} qw(technician technician2 requester elevate-bot));
@Groups = ({{ Name => 'Technicians', Members => {{ Users => [qw(technician technician2)] }} }});
@Queues = ({{ Name => '{queue}' }});
@CustomFields = ({{ Name => 'Category', Type => 'SelectSingle', LookupType => 'RT::Queue-RT::Ticket',
    ApplyTo => ['{queue}'], Values => [map {{ {{ Name => $_ }} }} 'Password reset', 'MFA reset', 'BitLocker key'] }},
    {{ Name => 'Site', Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket', ApplyTo => ['{queue}'] }});
my @ours = qw(SeeQueue ShowTicket ShowTicketComments SeeCustomField CommentOnTicket);
@ACL = ((map {{ {{ GroupDomain => 'UserDefined', GroupId => 'Technicians', Queue => '{queue}', Right => $_ }} }}
        @ours, qw(CreateTicket ReplyToTicket OwnTicket TakeTicket StealTicket ModifyTicket ModifyCustomField)),
    (map {{ {{ UserId => 'elevate-bot', Queue => '{queue}', Right => $_ }} }} @ours),
    {{ GroupDomain => 'SystemInternal', GroupType => 'Everyone', Queue => '{queue}', Right => 'CreateTicket' }});
1;
"""

_TOKENS = """
RT->LoadConfig; RT->Init;
for my $login (@ARGV) {
    my $user = RT::User->new(RT->SystemUser); $user->Load($login);
    my ($ok, $message, $token) = RT::AuthToken->new(RT->SystemUser)->Create(Owner => $user->id, Description => 'test');
    die $message unless $ok;
    print "$login $token\\n";
}
"""

_BY_SYSTEM = """
RT->LoadConfig; RT->Init;
my ($number, $login) = @ARGV;
my $ticket = RT::Ticket->new(RT->SystemUser); $ticket->Load($number);
my ($ok, $message) = $ticket->SetOwner($login, 'Force');
die $message unless $ok;
"""

_PERL = ("perl", "-I/usr/share/request-tracker5/lib", "-MRT", "-e")


def is_installed() -> bool:
    return SERVER.exists()


def install_packages() -> None:
    """Get Debian's packages (root; about 30 s). Waits for another apt to finish."""
    if is_installed():
        return
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=600", "-y"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    answers = "".join(
        f"request-tracker5 request-tracker5/{question} boolean false\n"
        for question in ("dbconfig-install", "handle-siteconfig-permissions")
    )
    subprocess.run([*apt, "update"], check=True, env=environment, capture_output=True)
    subprocess.run(["debconf-set-selections"], check=True, input=answers, text=True, env=environment)
    subprocess.run(
        [*apt, "install", "--no-install-recommends", *PACKAGES], check=True, env=environment, capture_output=True
    )


@dataclass
class RtInstance:
    """A running Request Tracker. `url` is its address, `tokens` a REST2 token for each of LOGINS."""

    folder: Path
    url: str
    tokens: dict[str, str]
    _process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, *, webhook_url: str, secret: str, elevate_url: str) -> "RtInstance":
        """Make one in `folder`. `secret` is `whsec_...`; `elevate_url` holds {ticket}."""
        port = _free_port()
        _lay_out(folder, port)
        _run(folder, SETUP_DATABASE, "--action", "init", "--skip-create", "--root-password-file", f"{folder}/rootpw")
        _run(folder, SETUP_DATABASE, "--action", "insert", "--datafile", f"{folder}/seed")
        install_extension(folder, webhook_url=webhook_url, secret=secret, elevate_url=elevate_url)
        told = _run(folder, *_PERL, _TOKENS, *LOGINS)
        tokens = dict(line.split() for line in told.splitlines())
        url = f"http://127.0.0.1:{port}"
        process = _serve(folder, port)
        try:
            _wait_until_up(url, process, folder)
        except BaseException:
            _end(process)
            raise
        return cls(folder, url, tokens, process)

    def stop(self) -> None:
        _end(self._process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, who: str, method: str, path: str, body: Any = None, **query: str) -> Any:
        """What REST2 answers to `who`. A refusal raises HTTPError; RT says 200 to some refusals all the same."""
        answer = requests.request(
            method,
            f"{self.url}/REST/2.0{path}",
            json=body,
            params=query,
            headers={"Authorization": f"token {self.tokens[who]}"},
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def create_ticket(self, subject: str, *, category: str = "Password reset", by: str = "root", **more: Any) -> str:
        body = {
            "Queue": QUEUE,
            "Subject": subject,
            "Requestor": "requester@rt.test",
            "Content": "Please help.",
            "ContentType": "text/plain",
            "CustomFields": {"Category": category},
            **more,
        }
        return str(self.call(by, "POST", "/ticket", body)["id"])

    def take(self, number: str, *, by: str = "technician") -> None:
        self.call(by, "PUT", f"/ticket/{number}/take", {})
        assert self.owner(number) == by

    def steal(self, number: str, *, by: str) -> None:
        self.call(by, "PUT", f"/ticket/{number}/steal", {})
        assert self.owner(number) == by

    def assign(self, number: str, to: str, *, by: str = "root") -> None:
        self.call(by, "PUT", f"/ticket/{number}", {"Owner": to})
        assert self.owner(number) == to

    def assign_by_system(self, number: str, to: str) -> None:
        """As a scrip does, which acts as RT's own user."""
        _run(self.folder, *_PERL, _BY_SYSTEM, number, to)
        assert self.owner(number) == to

    def copies(self, number: str, count: int, *, at: datetime) -> set[str]:
        """So many tickets like this one, last changed at the same moment, as after a bulk update."""
        with closing(sqlite3.connect(self.folder / "rt.sqlite")) as database, database:
            new = _next_ids(database, "Tickets", count)
            changes = [{"id": it, "EffectiveId": it, "LastUpdated": f"{at:%Y-%m-%d %H:%M:%S}"} for it in new]
            _copy_row(database, "Tickets", number, changes)
        return {str(it) for it in new}

    def comment_often(self, number: str, text: str, times: int, *, by: str) -> None:
        """So many comments, all but the first one written into the database as RT would have."""
        self.call(by, "POST", f"/ticket/{number}/comment", {"Content": text, "ContentType": "text/plain"})
        with closing(sqlite3.connect(self.folder / "rt.sqlite")) as database, database:
            made = (
                "SELECT max(id) FROM Transactions WHERE ObjectType = 'RT::Ticket' AND ObjectId = ? AND Type = 'Comment'"
            )
            (first,) = database.execute(made, (number,)).fetchone()
            (content,) = database.execute("SELECT id FROM Attachments WHERE TransactionId = ?", (first,)).fetchone()
            acts, contents = (_next_ids(database, table, times - 1) for table in ("Transactions", "Attachments"))
            _copy_row(database, "Transactions", first, [{"id": it} for it in acts])
            pairs = zip(contents, acts, strict=True)
            _copy_row(database, "Attachments", content, [{"id": it, "TransactionId": act} for it, act in pairs])

    def hours_pass(self) -> None:
        """Whatever was done before was done three hours ago."""
        with closing(sqlite3.connect(self.folder / "rt.sqlite")) as database, database:
            database.execute("UPDATE Tickets SET LastUpdated = datetime(LastUpdated, '-3 hours')")

    def set_status(self, number: str, status: str, *, by: str = "technician") -> None:
        self.call(by, "PUT", f"/ticket/{number}", {"Status": status})
        assert self.call("root", "GET", f"/ticket/{number}")["Status"] == status

    def resolve(self, number: str, *, by: str = "technician") -> None:
        self.set_status(number, "resolved", by=by)

    def owner(self, number: str) -> str:
        return str(self.call("root", "GET", f"/ticket/{number}")["Owner"]["id"])

    def comments(self, number: str, *, by: str = "technician") -> list[str]:
        """The texts that `by` can read on the ticket, oldest first."""
        page = self.call(by, "GET", f"/ticket/{number}/attachments", fields="Content", per_page="100")
        return [item["Content"] for item in page["items"] if item.get("Content")]

    def merge(self, number: str, into: str) -> None:
        self.call("root", "PUT", f"/ticket/{number}", {"MergeInto": into})

    def page(self, number: str, *, by: str) -> str:
        """The HTML of the ticket's page as `by` sees it."""
        return self.browse(f"/Ticket/Display.html?id={number}", by=by)

    def browse(self, path: str, *, by: str) -> str:
        with requests.Session() as browser:
            login = browser.post(f"{self.url}/NoAuth/Login.html", data={"user": by, "pass": PASSWORD}, timeout=60)
            login.raise_for_status()
            answer = browser.get(f"{self.url}{path}", timeout=60)
            answer.raise_for_status()
            return answer.text

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in (self.folder / "var" / "log").glob("*"))


def _next_ids(database: sqlite3.Connection, table: str, count: int) -> range:
    (last,) = database.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608  # a table of RT's
    return range(last + 1, last + count + 1)


def _copy_row(database: sqlite3.Connection, table: str, row_id: str, copies: Sequence[Mapping[str, object]]) -> None:
    """The row, once for each of `copies`, with what that changes of it."""
    changed = list(copies[0])
    names = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] not in changed]
    marks = ", ".join("?" * len(changed))
    copy = f"SELECT {marks}, {', '.join(names)} FROM {table} WHERE id = ?"  # noqa: S608  # a table of RT's
    statement = f"INSERT INTO {table} ({', '.join([*changed, *names])}) {copy}"  # noqa: S608
    database.executemany(statement, [(*it.values(), row_id) for it in copies])


def _lay_out(folder: Path, port: int) -> None:
    for name in (
        "conf.d",
        "var/log",
        "mason",
        "session",
        "local/html",
        "local/lib",
        "local/static",
        "local/po",
        "plugins",
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "RT_SiteConfig.pm").write_text(_SITE_CONFIG.replace("{port}", str(port)).replace("{dir}", str(folder)))
    (folder / "seed").write_text(_SEED.format(password=PASSWORD, queue=QUEUE))
    (folder / "rootpw").write_text(PASSWORD)


def install_extension(
    folder: Path, *, webhook_url: str, secret: str, elevate_url: str, queues: tuple[str, ...] = (QUEUE,)
) -> None:
    """Run our installer for the instance in `folder`; may be run again."""
    secret_file = folder / "ticket-elevate.secret"
    secret_file.unlink(missing_ok=True)
    secret_file.write_text(secret + "\n")
    _run(
        folder,
        *("sh", str(INSTALLER), "--webhook", webhook_url, "--page", elevate_url, "--secret-file", str(secret_file)),
        *("--owner", str(os.geteuid()), "--plugins", f"{folder}/plugins", "--site-config-dir", f"{folder}/conf.d"),
        *("--setup-database", SETUP_DATABASE),
        *(word for queue in queues for word in ("--queue", queue)),
    )


def _environment(folder: Path) -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
        "RT_SITE_CONFIG": f"{folder}/RT_SiteConfig.pm",
        "RT_SITE_CONFIG_DIR": f"{folder}/conf.d",
        "TMPDIR": str(folder / "var"),
    }


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, env=_environment(folder), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command[:3]} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _serve(folder: Path, port: int) -> subprocess.Popen[bytes]:
    with (folder / "var" / "server.txt").open("wb") as output:
        return subprocess.Popen(
            [str(SERVER), "--host", "127.0.0.1", "--port", str(port), "--max-workers", "3"],
            env=_environment(folder),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _wait_until_up(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends and process.poll() is None:
        try:
            if requests.get(f"{url}/REST/2.0/rt", timeout=10, allow_redirects=False).status_code in (302, 401):
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(f"Request Tracker did not start:\n{(folder / 'var' / 'server.txt').read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
