"""What the receiver and the list of roles are measured against: Flask, and nothing done."""

from flask import Flask, Response, render_template_string

from benchmarks import adapters
from benchmarks.parts import CONNECTION

ROWS, ROWS_PATH = 200, "/rows"
_TABLE = (
    "<!doctype html><title>Rows</title><table>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>"
    "{% endfor %}</tr>{% endfor %}</table>"
)


def create_app() -> Flask:
    app = Flask(__name__)
    rows = [tuple(f"Cell {column} of row {number}" for column in range(6)) for number in range(ROWS)]

    def receive() -> Response:
        return Response(status=202)

    for name in (CONNECTION, *adapters.KINDS):
        app.add_url_rule(f"/webhooks/{name}", view_func=receive, methods=["POST"])

    @app.get(ROWS_PATH)
    def table() -> str:
        return render_template_string(_TABLE, rows=rows)

    return app
