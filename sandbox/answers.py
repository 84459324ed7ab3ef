"""Lists and single things as Graph answers them: context, $filter, $select, $top, $expand and further pages."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from flask import Response, jsonify, request

from sandbox import odata, refusals
from sandbox.odata import Row
from sandbox.tenant import Tenant

METADATA = "https://graph.microsoft.com/v1.0/$metadata#"


def many(tenant: Tenant, rows: list[Row], name: str, expand: Callable[[Row], None] | None = None) -> Response:
    """A collection. `name` is a path of the metadata or a type; `expand` fills a role in when it was asked for."""
    rows = odata.filtered(rows, request.args.get("$filter"))
    try:
        top, skip = int(request.args.get("$top", "1000")), int(request.args.get("$skiptoken", "0"))
    except ValueError:
        raise refusals.bad_request("Invalid value for $top or $skiptoken.") from None
    page = [odata.selected(row, request.args.get("$select")) for row in rows[skip : skip + top]]
    if expand and "roleDefinition" in request.args.get("$expand", ""):
        for row in page:
            expand(row)
    context = f"Collection({name})" if name.startswith(("unified", "privileged")) else name
    answer = {"@odata.context": METADATA + context, "value": page}
    if skip + top < len(rows):
        more = {**request.args.to_dict(), "$skiptoken": str(skip + top)}
        answer["@odata.nextLink"] = f"{tenant.graph_url}{request.path}?{urlencode(more)}"
    return jsonify(answer)


def one(row: Row, context: str) -> Response:
    row = odata.selected(row, request.args.get("$select"))
    return jsonify({"@odata.context": METADATA + context, **row})
