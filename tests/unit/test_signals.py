import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from consumer.dead_letter_alarm import DeadLetterAlarm
from consumer.signals import StopOnSignal, resume_on_signal
from schemas import DeadLetterReason

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def _handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_for_a_clean_end(number: signal.Signals) -> None:
    stop = StopOnSignal()
    assert not stop.stopping()
    send(number)
    assert stop.stopping()


def test_a_second_signal_ends_the_process_at_once_with_its_own_status() -> None:
    script = (
        "import os, signal; from consumer.signals import StopOnSignal; stop = StopOnSignal()\n"
        "os.kill(os.getpid(), signal.SIGTERM); print('still here', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGINT); print('too late')"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGINT, "still here\n")


def test_sigusr1_resumes_every_time_it_comes_and_stops_nothing() -> None:
    stop = StopOnSignal()
    resumed: list[bool] = []
    resume_on_signal(lambda: resumed.append(True))
    send(signal.SIGUSR1)
    send(signal.SIGUSR1)
    assert resumed == [True, True]
    assert not stop.stopping()


def test_sigusr1_ends_a_pause_even_while_the_main_thread_holds_the_alarms_lock() -> None:
    alarm = DeadLetterAlarm(0.5, pause=True)
    resume_on_signal(alarm.resume)
    alarm.count([DeadLetterReason.NOT_JSON] * 100)
    assert alarm.poll()
    with alarm._lock:
        send(signal.SIGUSR1)
    assert not alarm.poll()
