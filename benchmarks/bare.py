"""What the receiver is measured against: Flask, and nothing done."""

from flask import Flask, Response


def create_app() -> Flask:
    app = Flask(__name__)

    @app.post("/webhooks/practice")
    def receive() -> Response:
        return Response(status=202)

    return app
