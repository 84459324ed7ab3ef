"""What `doctor` finds out about a ServiceNow: it hides what we may not see without a word, so each right is tried."""

from collections.abc import Iterable, Sequence

from integration.helpdesks.http import NOT_THERE
from integration.helpdesks.servicenow_settings import ServiceNowSettings
from integration.helpdesks.servicenow_table import SYS_ID, Record, TableApi, fits
from integration.tickets import Finding, HelpdeskError, HelpdeskRefused

_LOOKED_AT = 10  # tickets: the newest ones
_OF_A_PERSON = ("user_name", "email", "active", "locked_out")
_AUDIT_ROLE = "Give our account the role audit_viewer"


def findings(
    api: TableApi, connection: str, settings: ServiceNowSettings, must: Sequence[str], fields: Sequence[str]
) -> list[Finding]:
    """`must`: columns of a ticket that we cannot do without; `fields`: all that are read."""
    reach, let_in = f"{connection} can be reached", f"{connection} lets us in"
    fix = "Check client_id and client_secret, or login and password; the account must be active."
    try:
        known = _known(api, connection, settings)
    except NOT_THERE as error:
        return [Finding(reach, False, str(error))]
    except HelpdeskRefused as error:
        if error.status == 401:
            return [Finding(reach, True), Finding(let_in, False, fix)]
        return [Finding(reach, True), Finding(f"{connection} lets us call the Table API", False, str(error))]
    except HelpdeskError:
        return [Finding(reach, False, "Check url, and whether this machine may reach that address.")]
    found = [Finding(reach, True), Finding(let_in, True), known]
    try:
        found += _tickets(api, connection, settings, must, fields)
    except HelpdeskError as error:
        found.append(Finding(f"{connection} lets us read tickets and their history", False, str(error)))
    return found


def _known(api: TableApi, connection: str, settings: ServiceNowSettings) -> Finding:
    query = f"sys_id={settings.service_account}"
    rows = api.rows("sys_user", query, ("sys_id", "user_name", "active"), limit=1)
    ours = {"sys_id": settings.service_account, "user_name": settings.login, "active": "true"}
    ok = rows == [ours]
    fix = "Set service_account to the sys_id of login's user record, which must be active, and let it read sys_user."
    return Finding(f"{connection} knows {settings.login} by our sys_id", ok, "" if ok else fix)


def _tickets(
    api: TableApi, connection: str, settings: ServiceNowSettings, must: Sequence[str], fields: Sequence[str]
) -> list[Finding]:
    of, pick = settings.table, settings.pick_field
    newest = api.records(of, "ORDERBYDESCsys_updated_on", fields, limit=_LOOKED_AT)
    if not newest:
        fix = f"Give our account the right to read {of}. Or there is no ticket yet: then try again with one."
        return [Finding(f"{connection} lets us read {of}", False, fix)]
    taken = api.records(of, "assigned_toISNOTEMPTY^ORDERBYDESCsys_updated_on", fields, limit=_LOOKED_AT)
    hidden = [name for name in must if not all(one.has(name) for one in newest)]
    # Where a ticket is found by its assignee and shows none, or nothing of them, a rule of the table keeps it from us.
    people = ("assigned_to", *(f"assigned_to.{name}" for name in _OF_A_PERSON))
    hidden += [name for name in people if name not in hidden and taken and not any(one.value(name) for one in taken)]
    kept = all(one.has(pick) for one in newest)
    lacks = f"Let our account read of {of}: {', '.join(hidden)}."
    install = f"Install servicenow_app, and let our account read {pick}. Until then nothing starts by itself."
    return [
        Finding(f"{connection} lets us read {of}", not hidden, lacks if hidden else ""),
        Finding(f"{connection} keeps who picked a ticket", kept, "" if kept else install),
        *_history(api, connection, of, taken, newest),
    ]


def _history(
    api: TableApi, connection: str, of: str, taken: Sequence[Record], newest: Sequence[Record]
) -> list[Finding]:
    """The audit and the journal, each held against what the tickets themselves show."""
    changed = _ids(one for one in taken if one.value("sys_mod_count") != "0")
    audit = f"tablename={of}^documentkeyIN{changed}^fieldname=assigned_to"
    # A ticket that had its assignee from the start has no row, but one of ten was surely assigned later.
    told = not changed or bool(api.rows("sys_audit", audit, ("user",), limit=1))
    ids = _ids(newest)
    noted = api.records(of, f"sys_idIN{ids}", ("sys_id", "work_notes"), limit=_LOOKED_AT)
    noted_ids = _ids(one for one in noted if one.shown("work_notes"))
    journal = f"element_idIN{noted_ids}^element=work_notes"
    again = not noted_ids or bool(api.rows("sys_journal_field", journal, ("value",), limit=1))
    audit_fix = f"{_AUDIT_ROLE}, and audit the column assigned_to of {of}. Until then nothing starts by itself."
    note_fix = f"{_AUDIT_ROLE}. Until then a note may be written twice."
    return [
        Finding(f"{connection} shows us who assigned a ticket", told, "" if told else audit_fix),
        Finding(f"{connection} shows us our notes again", again, "" if again else note_fix),
    ]


def _ids(records: Iterable[Record]) -> str:
    ids = (one.value("sys_id") for one in records)
    return ",".join(one for one in ids if fits(one, SYS_ID))
