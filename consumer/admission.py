"""Who may wait for the model: callers whose answers would come too late are refused at once, and can go elsewhere."""

import time

RATE_SMOOTHING = 0.5
"""How much of the rate of late a turn renews."""
TELLING_TEXTS, TELLING_S = 32, 1.0
"""A turn of fewer texts that is done sooner says little of what a full one takes: beside a busy stream even one text
sits out a pass of it, and callers judged by that would be refused, and turns stay small."""
WAIT_SHARE = 0.5
"""How much of a caller's deadline the texts before its own may take, at the rate of late. That rate halves where the
stream begins to take every other pass, or more where passes are small, and falls further while thousands of callers are
refused; who was let in before shall have an answer still. With two fifths one caller in 200 was refused at 80 % of the
capacity without need; with a half none was, and at three times the capacity one in a hundred waited 6.8 s of 10."""
MOST_RETRY_S = 60.0


class QueueFullError(Exception):
    """Too many texts wait already; worth another try after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class Admission:
    """Knows how fast turns of callers' texts are answered of late; one thread at a time."""

    def __init__(self, max_waiting_texts: int) -> None:
        self._max_waiting_texts = max_waiting_texts
        self._turn_texts = 0
        self._due_since_s = 0.0
        self._texts_per_s = 0.0

    def check(self, texts: int, waiting: int, within_s: float) -> None:
        """Raise QueueFullError where a caller's `texts` may not wait behind those `waiting`: too many wait, or so many
        that these might not be answered `within_s`."""
        queue_s = (waiting + self._turn_texts) / self._texts_per_s if self._texts_per_s else 0.0
        if waiting + texts > self._max_waiting_texts or queue_s > WAIT_SHARE * within_s:
            raise QueueFullError(min(MOST_RETRY_S, queue_s) if self._texts_per_s else 1.0)

    def admit(self, texts: int, waiting: int, within_s: float) -> None:
        """Let them in. Raises as `check` does."""
        self.check(texts, waiting, within_s)
        if not waiting + self._turn_texts:
            self._due_since_s = time.monotonic()

    def turn_began(self, texts: int) -> None:
        """So many texts wait no more, but are not answered yet."""
        self._turn_texts = texts

    def turn_ended(self) -> None:
        """They are answered. It took the time since the turn before, or since somebody waits: the stream's passes in
        between are part of a turn."""
        now_s = time.monotonic()
        took_s = now_s - self._due_since_s
        if self._turn_texts >= TELLING_TEXTS or took_s >= TELLING_S:
            rate = self._turn_texts / max(took_s, 1e-6)
            self._texts_per_s += (rate - self._texts_per_s) * (RATE_SMOOTHING if self._texts_per_s else 1.0)
        self._turn_texts = 0
        self._due_since_s = now_s
