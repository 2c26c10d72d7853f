"""Section "service": the stream against the classic service, which runs one text a request."""

import http.client
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from consumer.cache.embedded import free_port
from consumer.terminal.bench_figures import measured
from tests.benchmarks import corpus
from tests.benchmarks.contenders import Command, Running, ours, peer_environment, running
from tests.benchmarks.environments import python_of
from tests.benchmarks.rig import StreamError, rig
from tests.benchmarks.sampling import Figure, Reach, Run, in_turns, ratio
from tests.benchmarks.streams import COMMENTS, OURS, stream_rate_per_s

CLIENTS = 8
"""Twice the threads that waitress has: one request always waits."""
REQUESTS, QUICK_REQUESTS = 800, 200
STARTED_WITHIN_S = 120.0
LOOKS_EVERY_S = 0.1


def run(told: Run) -> list[Figure]:
    """The Flask service and the stream in turns."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as directory, rig(Path(directory)) as here:
        port = free_port()
        with running(here, "flask", _flask(told, port)) as flask:
            _wait_until_it_answers(flask, port)
            unique = here.filled(corpus.unique(COMMENTS))
            rates = in_turns(
                {
                    "stream": partial(stream_rate_per_s, here, told, OURS, ours(), unique, COMMENTS),
                    "flask": partial(requests_per_s, port, QUICK_REQUESTS if told.quick else REQUESTS),
                },
                told.rounds,
            )
    return [
        Figure("Flask /predict", "comments/s", measured(rates["flask"]), note=f"{CLIENTS} clients, waitress"),
        Figure("stream ÷ Flask /predict", "ratio", ratio(rates["stream"], rates["flask"]), Reach(8, 20)),
    ]


def requests_per_s(port: int, requests: int) -> float:
    """Answers per second to clients that each send their next text when they have an answer."""
    texts = corpus.unique(requests)
    began_s = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answered = sum(clients.map(partial(_ask_all, port), [texts[number::CLIENTS] for number in range(CLIENTS)]))
    return answered / (time.monotonic() - began_s)


def _ask_all(port: int, texts: Sequence[str]) -> int:
    """One client with one connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for number, text in enumerate(texts):
            body = json.dumps({"id": f"b-{number}", "text": text})
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise StreamError(f"the Flask service answered {response.status}: {response.read()[:200]!r}")
            response.read()
    return len(texts)


def _flask(told: Run, port: int) -> Command:
    module = ["-m", "tests.benchmarks.peers.flask.peer", "--port", str(port), "--model", str(told.model)]
    return Command([python_of("flask"), *module], peer_environment())


def _wait_until_it_answers(flask: Running, port: int) -> None:
    deadline_s = time.monotonic() + STARTED_WITHIN_S
    while True:
        flask.raise_if_dead()
        try:
            _ask_all(port, ["warm up"])
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(LOOKS_EVERY_S)
        else:
            return
