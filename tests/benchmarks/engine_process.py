"""An engine in a process of its own, so that neither its threads nor its memory meet another's."""

import json
import os
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, Any

from tests.benchmarks.environments import REPOSITORY, python_of

LAST_WORDS = 3


class EngineFailedError(Exception):
    """An engine ended before it answered; the message ends with its last words."""


class EngineProcess:
    """Speaks the protocol of `peers/engine_peer.py`. Made by `engine_process`.

    It is stopped while it is not asked: threads of some libraries go on looking for work, on the cores of the others.
    """

    def __init__(self, process: "subprocess.Popen[str]", log: IO[str]) -> None:
        self._process = process
        self._log = log
        self._cpu_ms_per_text: list[float] = []
        self.version: str = self._answer()["version"]
        process.send_signal(signal.SIGSTOP)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def texts_per_s(self, call_size: int = 0, pause_ms: int = 0) -> float:
        """Classify all texts in one call, or some of them `call_size` at a time, each call after a pause, which does
        not count."""
        answer = self._ask(f"run {call_size} {pause_ms}")
        if not call_size:
            self._cpu_ms_per_text.append(1_000 * answer["cpu_seconds"] / answer["texts"])
        return float(answer["texts"] / answer["seconds"])

    def cpu_ms_per_text(self) -> float:
        """Of all threads, the median over the calls with all texts: what others take of the cores tells less here."""
        return median(self._cpu_ms_per_text)

    def scores(self) -> list[list[float]]:
        """The logits of every text: negative, neutral, positive, toxic."""
        scores: list[list[float]] = self._ask("scores")["scores"]
        return scores

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        answer = self._answer()
        self._process.send_signal(signal.SIGSTOP)
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise EngineFailedError("".join(deque(self._log, LAST_WORDS)).strip())
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def engine_process(peer: str, model: Path, texts: Sequence[str]) -> Iterator[EngineProcess]:
    """Start the engine `peers/<peer>` and end it with the context. Raises EnvironmentMissingError or
    EngineFailedError when it cannot be had."""
    with NamedTemporaryFile("w", suffix=".json") as told, TemporaryFile("w+") as log:
        json.dump(list(texts), told)
        told.flush()
        module = f"tests.benchmarks.peers.{peer}.peer"
        command = [str(python_of(peer)), "-m", module, "--model", str(model), "--texts", told.name]
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield EngineProcess(process, log)
        finally:
            process.kill()  # some engines leave threads that would keep the process; there is nothing to save
            process.communicate()
