"""HTTP callers in a process of their own: `python -m tests.chaos.load_client PORT --rate 100 --seconds 60`.

Open loop: each text is sent at its own random moment, whatever has become of those before it, and its latency counts
from that moment. With `--callers` instead, so many callers send one text after the other, as fast as they are answered.
Written on asyncio's streams: on two cores a client library would take as much of them as the server that is measured.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator

from consumer.terminal.bench_figures import latency
from consumer.terminal.bench_texts import unique_texts

GIVES_UP_AFTER_S = 90.0
HOST = "127.0.0.1"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Callers:
    """All of them, and what they were told."""

    def __init__(self, port: int, seed: int) -> None:
        self.statuses: Counter[str] = Counter()
        self.answered_s: list[float] = []
        self.refused_s: list[float] = []
        self.without_retry_after = 0
        self.late_s: list[float] = []
        self._port = port
        self._texts = unique_texts(seed)
        self._chance = random.Random(seed)
        self._idle: list[Connection] = []

    async def open_loop(self, rate_per_s: float, seconds: float) -> None:
        """Send at random moments, `rate_per_s` in the mean, and wait for all answers."""
        async with asyncio.TaskGroup() as calls:
            for due_s in self._moments(rate_per_s, seconds):
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                self.late_s.append(time.monotonic() - due_s)
                calls.create_task(self._call(due_s))

    async def closed_loop(self, callers: int, seconds: float) -> None:
        """Let every caller send its next text when it has the answer to the one before."""
        ends_s = time.monotonic() + seconds

        async def caller() -> None:
            while (now_s := time.monotonic()) < ends_s:
                await self._call(now_s)

        await asyncio.gather(*(caller() for _ in range(callers)))

    def figures(self, took_s: float) -> dict[str, object]:
        """What the scenario wants to know."""
        return {
            "took_s": took_s,
            "statuses": self.statuses,
            "answered_s": self.answered_s,
            "refused_s": self.refused_s,
            "without_retry_after": self.without_retry_after,
            "late_p99_ms": latency(self.late_s or [0.0]).p99_ms,
        }

    def _moments(self, rate_per_s: float, seconds: float) -> Iterator[float]:
        due_s = time.monotonic()
        ends_s = due_s + seconds
        while (due_s := due_s + self._chance.expovariate(rate_per_s)) < ends_s:
            yield due_s

    async def _call(self, due_s: float) -> None:
        try:
            async with asyncio.timeout(GIVES_UP_AFTER_S):
                status, headers = await self._exchange(json.dumps({"text": next(self._texts)}).encode())
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.statuses[type(error).__name__] += 1
            return
        self.statuses[str(status)] += 1
        (self.answered_s if status == 200 else self.refused_s).append(time.monotonic() - due_s)
        self.without_retry_after += status == 429 and int(headers.get("retry-after", "0")) < 1

    async def _exchange(self, body: bytes) -> tuple[int, dict[str, str]]:
        """One request, on a connection that is open already if there is one."""
        reader, writer = self._open() or await asyncio.open_connection(HOST, self._port)
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        writer.write(f"{head}\r\n\r\n".encode() + body)
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return int(lines[0].split()[1]), headers

    def _open(self) -> Connection | None:
        """A connection that the server has not closed meanwhile."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None


def main() -> None:
    """Send, and print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0, help="texts of different seeds are different")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--rate", type=float, help="texts per second")
    how.add_argument("--callers", type=int)
    options = parser.parse_args()
    callers = Callers(options.port, options.seed)
    began_s = time.monotonic()
    asyncio.run(
        callers.open_loop(options.rate, options.seconds)
        if options.rate
        else callers.closed_loop(options.callers, options.seconds)
    )
    json.dump(callers.figures(time.monotonic() - began_s), sys.stdout)


if __name__ == "__main__":
    main()
