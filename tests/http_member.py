"""A member of the stream with its HTTP server, in a thread, for tests."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from consumer.app import run_with
from consumer.dead_letter_alarm import DeadLetterAlarm
from consumer.http.server import open_server
from consumer.policy import Policy
from consumer.services import open_services
from consumer.settings import Settings
from tests.fakes import WordEngine
from tests.http_serving import TIMEOUT_S, wait_until


@contextmanager
def running_member(settings: Settings) -> Iterator[int]:
    """A member with its HTTP server, as `moderate run` puts it together; its model is there at once."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with ExitStack() as stack:
                services = open_services(settings, stop.is_set, stack, has_server=True)
                open_server(settings, services, stack)
                alarm = DeadLetterAlarm(settings.dead_letter_alarm_share, settings.dead_letter_pause)
                run_with(settings, WordEngine(), Policy(), stop.is_set, alarm, services)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: bool(failed) or is_ready(settings.http_port))
        yield settings.http_port
    finally:
        stop.set()
        thread.join(TIMEOUT_S)
    assert not failed, failed


def is_ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT_S).close()
    except OSError:
        return False
    return True
