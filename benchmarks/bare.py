"""What the receiver and the list of roles are measured against: Flask, and nothing done."""

from flask import Flask, Response, render_template_string

ROWS, ROWS_PATH = 200, "/rows"
_TABLE = (
    "<!doctype html><title>Rows</title><table>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>"
    "{% endfor %}</tr>{% endfor %}</table>"
)


def create_app() -> Flask:
    app = Flask(__name__)
    rows = [tuple(f"Cell {column} of row {number}" for column in range(6)) for number in range(ROWS)]

    @app.post("/webhooks/practice")
    def receive() -> Response:
        return Response(status=202)

    @app.get(ROWS_PATH)
    def table() -> str:
        return render_template_string(_TABLE, rows=rows)

    return app
