"""What the programs of all stream peers share: their options, and how they are ended."""

import argparse
import signal
import threading
from typing import NamedTuple


class Options(NamedTuple):
    """What a stream peer is told."""

    bootstrap: str
    input: str
    output: str
    group: str
    fetch_wait_max_ms: int
    model: str
    cache: bool


def options() -> Options:
    """Those of the command line."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "input", "output", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--fetch_wait_max_ms", type=int, required=True)
    parser.add_argument("--model", default="", help="a model directory; the loops without a model need none")
    parser.add_argument("--cache", action="store_true", help="remember the answers of this process")
    return Options(**vars(parser.parse_args()))


def stop_on_sigterm() -> threading.Event:
    """An event that SIGTERM sets."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    return stopping
