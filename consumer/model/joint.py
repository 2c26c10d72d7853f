"""Several models beside each other, for more tag groups than one model has: each text goes through all of them."""

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import NamedTuple

from consumer.answer import Answer, Unanswerable
from consumer.model.calibration import Calibration
from consumer.model.cleaning import clean
from consumer.model.engine import Engine
from consumer.model.errors import ModelError
from consumer.model.labels import TagGroup, TagGroups


class _Part(NamedTuple):
    """An engine, the tag groups that come from it, and where their scores stand among all of its scores."""

    engine: Engine
    groups: tuple[TagGroup, ...]
    places: tuple[int, ...]


class JointEngine:
    """Engines that answer as one, used like an `Engine`: `classify` and `steps` belong to one thread.

    Of a tag group that several of them have, the first one's counts. A text that makes one of them fail is
    Unanswerable.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Raises ModelError where all tag groups of one are those of others before it."""
        self._parts = _parts(engines)
        self.name = ",".join(engine.name for engine in engines)
        self.version = _digest(engine.version for engine in engines)
        formats = [engine.fingerprint.removeprefix(f"{engine.version}-") for engine in engines]
        self.fingerprint = f"{self.version}-{'+'.join(formats)}"
        self.backend = "+".join(dict.fromkeys(engine.backend for engine in engines))
        self.tag_groups = TagGroups(tuple(group for part in self._parts for group in part.groups))
        self.calibration = _thresholds(self._parts)
        self.languages = {
            group.name: part.engine.languages[group.name] for part in self._parts for group in part.groups
        }

    def models(self) -> dict[str, str]:
        """Return the name of the model that each tag group comes from."""
        return {group.name: part.engine.name for part in self._parts for group in part.groups}

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines, in the order in which they answer."""
        return tuple(part.engine for part in self._parts)

    def model_text(self, text: str) -> str:
        """Return `text` as the models see it; texts that differ only in what all of them ignore become equal."""
        cleaned = clean(text)
        seen = {part.engine.normalise(cleaned) for part in self._parts}
        return seen.pop() if len(seen) == 1 else cleaned

    def classify(self, model_texts: Sequence[str]) -> list[Answer | Unanswerable]:
        """Answer every text, in order; blocks. Raises ModelError as `Engine.classify` does."""
        return _joined([_counted(part, part.engine.classify(model_texts)) for part in self._parts])

    def steps(self, model_texts: Sequence[str]) -> Generator[bool, None, list[Answer | Unanswerable]]:
        """`classify` that stops before it waits for a micro-batch, as `Engine.steps` does."""
        found = []
        for part in self._parts:
            answers = yield from part.engine.steps(model_texts)
            found.append(_counted(part, answers))
        return _joined(found)

    def warm_up(self) -> None:
        """Warm all of them up. Raises ModelError as `Engine.warm_up` does."""
        for part in self._parts:
            part.engine.warm_up()


def engines_of(engine: Engine | JointEngine) -> tuple[Engine, ...]:
    """The engines behind what was loaded, one for each model."""
    return engine.engines if isinstance(engine, JointEngine) else (engine,)


def _parts(engines: Sequence[Engine]) -> list[_Part]:
    parts: list[_Part] = []
    taken: set[str] = set()
    for engine in engines:
        groups: list[TagGroup] = []
        places: list[int] = []
        place = 0
        for group in engine.tag_groups.groups:
            if group.name not in taken:
                groups.append(group)
                places += range(place, place + len(group.labels))
            place += len(group.labels)
        if not groups:
            raise ModelError(
                f"the model {engine.name} adds nothing: those before it in MODEL have its tag groups "
                f"({', '.join(engine.tag_groups.label_names())}), and the first one's count; leave it out or name it "
                "first"
            )
        taken.update(group.name for group in groups)
        parts.append(_Part(engine, tuple(groups), tuple(places)))
    return parts


def _thresholds(parts: Sequence[_Part]) -> Calibration:
    """What each model was calibrated to, for the tag groups that come from it; its scores are calibrated already."""
    review, reject = {}, {}
    for part in parts:
        names = {group.name for group in part.groups}
        own = part.engine.calibration
        review.update(_of_groups(own.review, names))
        reject.update(_of_groups(own.reject, names))
    return Calibration(review=review, reject=reject)


def _of_groups(thresholds: Mapping[str, float], names: set[str]) -> dict[str, float]:
    return {label: score for label, score in thresholds.items() if label.rpartition(".")[0] in names}


def _counted(part: _Part, answers: Iterable[Answer | Unanswerable]) -> list[Answer | Unanswerable]:
    """The answers with the scores of the groups that come from this engine."""
    return [
        answer
        if isinstance(answer, Unanswerable)
        else Answer(tuple(answer.scores[place] for place in part.places), answer.truncated)
        for answer in answers
    ]


def _joined(found: Sequence[Sequence[Answer | Unanswerable]]) -> list[Answer | Unanswerable]:
    return [_join(answers) for answers in zip(*found, strict=True)]


def _join(answers: Sequence[Answer | Unanswerable]) -> Answer | Unanswerable:
    """One answer to a text from those of all engines: all that they say, or the first failure."""
    scores: list[float] = []
    truncated = False
    for answer in answers:
        if isinstance(answer, Unanswerable):
            return answer
        scores += answer.scores
        truncated |= answer.truncated
    return Answer(tuple(scores), truncated)


def _digest(names: Iterable[str]) -> str:
    """A name for several in this order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
