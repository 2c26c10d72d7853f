"""Parts that stand in for slow ones, with behaviour a test can predict and steer."""

import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence

from consumer.answer import Answer, Unanswerable
from consumer.batch import Record
from consumer.model.errors import ModelError
from consumer.model.labels import TagGroup, TagGroups
from schemas import AnsweredBy

TAG_GROUPS = TagGroups(
    (
        TagGroup("sentiment", "softmax", ("negative", "neutral", "positive"), (0, 1, 2)),
        TagGroup("toxicity", "sigmoid", ("toxic",), (3,), complement="clean"),
    )
)


def record(value: bytes | None, offset: int = 0, partition: int = 0, key: bytes | None = None) -> Record:
    return Record("comments", partition, offset, 1_700_000_000_000, key, value, (("traceparent", b"00-a-b-01"),))


LONGEST_SEEN = 5_000


class WordEngine:
    """Finds a text toxic when it says "awful" and cannot answer one that says "poison"; each text costs
    `seconds_per_text`."""

    name = "words"
    version = "1"
    fingerprint = "words-1"
    tag_groups = TAG_GROUPS
    languages: Mapping[str, Sequence[str]] = {}

    def __init__(self, seconds_per_text: float = 0.0) -> None:
        self.seconds_per_text = seconds_per_text
        self.classified: list[str] = []
        self.batches = 0
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def model_text(self, text: str) -> str:
        return " ".join(text.split()).lower()

    def classify(self, model_texts: Sequence[str]) -> list[Answer | Unanswerable]:
        self.gate.wait()
        if self.broken:
            raise ModelError("the model is gone")
        self.batches += 1
        self.classified.extend(model_texts)
        time.sleep(self.seconds_per_text * len(model_texts))
        return [_answer(text) for text in model_texts]

    def steps(self, model_texts: Sequence[str]) -> Generator[bool, None, list[Answer | Unanswerable]]:
        answers = []
        for start in range(0, len(model_texts), 8):
            yield False
            answers += self.classify(model_texts[start : start + 8])
        return answers


def _answer(text: str) -> Answer | Unanswerable:
    if "poison" in text:
        return Unanswerable("the text makes the model fail")
    toxic = 0.99 if "awful" in text else 0.01
    return Answer((0.2, 0.3, 0.5, toxic), truncated=len(text) > LONGEST_SEEN)


class DictCache:
    """A cache in memory that remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[bytes, Answer] = {}
        self.asked: list[bytes] = []

    def key(self, model_text: str) -> bytes:
        return model_text.encode("utf-8", "surrogatepass")

    def lookup(self, keys: Iterable[bytes]) -> Mapping[bytes, tuple[Answer, AnsweredBy]]:
        wanted = list(keys)
        self.asked.extend(wanted)
        return {key: (self.answers[key], "redis") for key in wanted if key in self.answers}

    def store(self, answers: Mapping[bytes, Answer]) -> None:
        self.answers.update(answers)


class NoCache(DictCache):
    """Remembers nothing."""

    def store(self, answers: Mapping[bytes, Answer]) -> None:
        pass
