"""The classic service: Flask behind waitress, one of the servers that Flask's documentation names for production; each
request tokenises and runs one text.
"""

import argparse
from typing import Any

from flask import Flask, request  # type: ignore[import-not-found]
from waitress import serve  # type: ignore[import-untyped]

from tests.benchmarks.peers.classifier import Classifier


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    told = parser.parse_args()
    classify = Classifier(told.model, cache=False)
    app = Flask(__name__)

    @app.post("/predict")  # type: ignore[untyped-decorator]
    def predict() -> dict[str, Any]:
        return classify([request.get_json()])[0]

    serve(app, host="127.0.0.1", port=told.port)


if __name__ == "__main__":
    main()
