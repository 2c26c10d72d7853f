"""What health says in each part of a process's life."""

from collections.abc import Iterable

from consumer.health import Health, Vital


class Process:
    """A process with one thread, whose clock and state a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.stopping = False
        self.thread = Vital("classify", alive=True, moved_at_s=self.now_s)
        self.said = {"group": "", "cache": ""}
        self.health = Health(60.0, lambda: self.stopping, clock=lambda: self.now_s)
        self.health.watch(self.vitals)
        self.health.require("group", lambda: self.said["group"])
        self.health.warn("cache", lambda: self.said["cache"])

    def vitals(self) -> Iterable[Vital]:
        return [self.thread]

    def answers(self) -> tuple[bool, bool]:
        return self.health.live().ok, self.health.readiness().ok


def begun() -> Process:
    process = Process()
    process.health.begin()
    return process


def test_a_process_that_starts_is_alive_and_not_ready() -> None:
    process = Process()
    process.thread = Vital("classify", alive=False, moved_at_s=0.0)
    assert process.answers() == (True, False)
    assert process.health.readiness().problems == {"process": "is starting: the model is being loaded"}


def test_a_process_that_has_begun_is_alive_and_ready() -> None:
    assert begun().answers() == (True, True)


def test_a_dead_thread_fails_both_and_is_named() -> None:
    process = begun()
    process.thread = Vital("classify", alive=False, moved_at_s=process.now_s)
    assert process.answers() == (False, False)
    assert process.health.live().problems == process.health.readiness().problems == {"classify": "dead"}


def test_a_thread_that_stands_still_fails_both_only_beyond_the_timeout() -> None:
    process = begun()
    process.now_s += 60.0
    assert process.answers() == (True, True)
    process.now_s += 0.5
    assert process.answers() == (False, False)
    assert process.health.live().problems == {"classify": "has stood still for 60 s"}
    process.thread = Vital("classify", alive=True, moved_at_s=process.now_s)
    assert process.answers() == (True, True)


def test_an_unmet_condition_fails_readiness_alone_and_says_which() -> None:
    process = begun()
    process.said["group"] = "this member has not joined it yet"
    assert process.answers() == (True, False)
    assert process.health.readiness().problems == {"group": "this member has not joined it yet"}
    process.said["group"] = ""
    assert process.answers() == (True, True)


def test_a_warning_is_shown_and_fails_nothing() -> None:
    process = begun()
    process.said["cache"] = "works without Redis"
    assert process.answers() == (True, True)
    assert process.health.live().warnings == process.health.readiness().warnings == {"cache": "works without Redis"}


def test_a_process_that_is_stopped_is_alive_and_not_ready_whatever_has_ended() -> None:
    process = begun()
    process.stopping = True
    process.thread = Vital("classify", alive=False, moved_at_s=0.0)
    assert process.answers() == (True, False)
    assert process.health.readiness().problems == {"process": "is being stopped"}


def test_all_watched_threads_count() -> None:
    process = begun()
    process.health.watch(lambda: [Vital("model", alive=False, moved_at_s=process.now_s)])
    assert process.health.live().problems == {"model": "dead"}
