"""The model engine: texts in, scores out, in forward passes within the token budget."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import torch
from tokenizers import Tokenizer

from consumer.answer import Answer, ModelPass, Unanswerable
from consumer.model.calibration import Calibration
from consumer.model.cleaning import clean
from consumer.model.doubt import LANGUAGE, doubted
from consumer.model.encoding import Encoded, encode, prepare_tokenizer
from consumer.model.errors import ModelError
from consumer.model.labels import TagGroups
from consumer.model.language import other_language_score
from consumer.model.normaliser import idempotent_normaliser
from consumer.model.passes import Logits, Passes, abandon
from consumer.model.rows import Row, Runner
from consumer.model.scores import NotFiniteError, Scoring
from consumer.model.token_budget import TokenBudget, is_out_of_memory

T = TypeVar("T")

_PROBE_TEXT = "This is a good day."


MicroBatch = Sequence[Sequence[Encoded]]
"""Rows of texts."""


class Begun(NamedTuple):
    """A micro-batch whose pass has begun, and when; without `logits` it has not, and is run when its turn comes."""

    rows: MicroBatch
    logits: Logits | None = None
    began_s: float = 0.0


class Engine:
    """One loaded model. `classify` belongs to one thread; `model_text` and `normalise`, its second half for a text that
    is clean already, may be called from any other meanwhile, so `tokenizer` is not to be changed.

    `version` names the content (weights, tokenizer, tag groups, cleaning), `fingerprint` adds the number format:
    answers of equal fingerprints may stand in for each other. Made by `load_engine`.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Tokenizer,
        tag_groups: TagGroups,
        *,
        name: str,
        version: str,
        max_batch_tokens: int,
        max_text_tokens: int,
        pad_id: int,
        calibration: Calibration,
        languages: Sequence[str] = (),
        on_pass: Callable[[ModelPass], None] = lambda _: None,
    ) -> None:
        """`languages` are those that the model declares, none where it declares none; `on_pass` is told of every
        forward pass that answered texts, on the thread that classifies."""
        self._on_pass = on_pass
        self.name = name
        self.version = version
        self.tag_groups = tag_groups
        self.calibration = calibration
        self.languages = {group.name: tuple(languages) for group in tag_groups.groups}
        self._passes = Passes(runner, pad_id, max_text_tokens)
        self.scoring = Scoring(tag_groups, calibration)
        self.fingerprint = f"{version}-{str(runner.dtype).removeprefix('torch.')}"
        self._max_text_tokens = max_text_tokens
        self._budget = TokenBudget(
            name, runner.device, most_tokens=max_batch_tokens, least_tokens=min(max_batch_tokens, max_text_tokens)
        )
        self._pad_id = pad_id
        self.tokenizer = tokenizer
        prepare_tokenizer(tokenizer, max_text_tokens)
        self.normalise = idempotent_normaliser(tokenizer)

    @property
    def network(self) -> Any:
        """PyTorch's classifier, to look into it, or OpenVINO's; only where no other thread classifies."""
        return getattr(self._passes.runner, "classifier", self._passes.runner)

    @property
    def backend(self) -> str:
        """What runs the model: torch, openvino or cuda-graphs."""
        return self._passes.runner.backend

    def model_text(self, text: str) -> str:
        """Return `text` as the model sees it: what `classify` takes, and what cache keys are made of.

        Texts that differ only in what the model ignores (accents, say, or letter case) become equal.
        """
        return self.normalise(clean(text))

    def classify(self, model_texts: Sequence[str]) -> list[Answer | Unanswerable]:
        """Answer every text, in the order given; blocks. Equal texts are run once.

        A text that makes the model fail is Unanswerable and leaves the others unharmed; running out of memory is no
        text's fault, and takes smaller micro-batches or waits. Raises ModelError when the model fails on every text, or
        memory stays short: the process should end.
        """
        steps = self.steps(model_texts)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                answers: list[Answer | Unanswerable] = done.value
                return answers

    def steps(self, model_texts: Sequence[str]) -> Generator[bool, None, list[Answer | Unanswerable]]:
        """`classify` that stops before it waits for a micro-batch, where other texts may be classified.

        It yields whether others may begin beside the last of its micro-batches, where they run side by side.
        """
        unique = list(dict.fromkeys(model_texts))
        encoded = encode(self.tokenizer, unique, self._pad_id)
        answers: list[Answer | Unanswerable] = [Unanswerable("the tokenizer failed on it")] * len(unique)
        runnable = [index for index, item in enumerate(encoded) if item is not None]
        items = [item for item in encoded if item is not None]
        answered = yield from self._answer_within_memory(items)
        for position, answer in zip(runnable, answered, strict=True):
            answers[position] = answer
        if LANGUAGE in self.tag_groups.groups:
            answers = [doubted(text, answer, self.tag_groups) for text, answer in zip(unique, answers, strict=True)]
        by_text = dict(zip(unique, answers, strict=True))
        return [by_text[text] for text in model_texts]

    def warm_up(self) -> None:
        """Run the shortest, the longest and the fullest micro-batch. Raises ModelError when one fails, or does not fit
        into memory however small the budget."""
        if LANGUAGE in self.tag_groups.groups:
            other_language_score(_PROBE_TEXT)  # reads its words: 70 ms that the first comment need not wait for
        while not self._budget.attempt(self._run_extremes, self._budget.tokens):
            pass  # the budget is smaller now, or has waited

    def _answer_within_memory(self, items: list[Encoded]) -> Generator[bool, None, list[Answer | Unanswerable]]:
        """Answer in micro-batches; when memory runs out, what is left is packed anew into smaller ones."""
        answers: dict[int, Answer | Unanswerable] = {}
        while left := [index for index in range(len(items)) if index not in answers]:
            batches = self._micro_batches([items[index] for index in left])
            micro_batches = [[[items[left[position]] for position in row] for row in batch] for batch in batches]
            answered = yield from self._answer_until_memory_is_short(micro_batches)
            answers.update(zip((left[position] for position in _flat(_flat(batches))), answered, strict=False))
        return [answers[index] for index in range(len(items))]

    def _answer_until_memory_is_short(
        self, micro_batches: Sequence[MicroBatch]
    ) -> Generator[bool, None, list[Answer | Unanswerable]]:
        """Answer the texts of some micro-batches, in order, or those of the first ones; where passes run side by side,
        the next ones have begun while one is waited for."""
        answers: list[Answer | Unanswerable] = []
        budget = self._budget.tokens
        at_once = self._passes.at_once(len(micro_batches))
        to_begin, begun = deque(micro_batches), deque[Begun]()
        try:
            while to_begin or begun:
                while to_begin and len(begun) < at_once:
                    begun.append(self._begin(to_begin.popleft(), beside_others=at_once > 1))
                yield len(begun) < at_once
                answered = self._budget.attempt(partial(self._answer, begun.popleft()), budget)
                if answered is None:
                    break
                answers += answered
        finally:
            abandon(one.logits for one in begun)
        return answers

    def _begin(self, rows: MicroBatch, *, beside_others: bool) -> Begun:
        began_s = time.perf_counter()
        return Begun(rows, self._passes.begin(_ids(rows)), began_s) if beside_others else Begun(rows)

    def _micro_batches(self, items: Sequence[Encoded]) -> list[list[list[int]]]:
        return self._passes.micro_batches([len(item.ids) for item in items], self._budget.tokens)

    def _answer(self, one: Begun) -> list[Answer | Unanswerable]:
        """Run one micro-batch, or wait for it where it has begun; halve it where it fails, until the text that makes
        the model fail stands alone. Raises what says that memory ran out.
        """
        rows = one.rows
        items, ids = _flat(rows), _ids(rows)
        began_s = one.began_s if one.logits else time.perf_counter()
        try:
            scores = self._forward(ids, one.logits)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = _reason(error)
        else:
            tokens = sum(len(item.ids) for item in items)
            padded_tokens = self._passes.padded_tokens(ids)
            self._on_pass(ModelPass(len(items), tokens, padded_tokens, began_s, time.perf_counter()))
            return [Answer(tuple(of_text), item.truncated) for of_text, item in zip(scores, items, strict=True)]
        # Not in the handler: the error's frames hold the failed pass's tensors.
        if len(items) > 1:
            [halved] = [rows] if len(rows) > 1 else [[[item] for item in rows[0]]]
            middle = len(halved) // 2
            return self._answer(Begun(halved[:middle])) + self._answer(Begun(halved[middle:]))
        self._require_success([[self._probe()]])
        return [Unanswerable(f"the model failed on it: {reason}")]

    def _forward(self, rows: Sequence[Row], logits: Logits | None = None) -> list[list[float]]:
        """Return the scores per text, in the order of the tag groups; raises whatever the model raises."""
        with torch.inference_mode():
            return self.scoring.scores(logits() if logits else self._passes.run(rows))

    def _run_extremes(self) -> bool:
        """Run the shortest, the longest and the fullest micro-batch."""
        probe = self._probe()
        self._require_success([[probe]])
        self._require_success([[[self._pad_id + 1] * self._max_text_tokens]])
        probes = [Encoded(probe, truncated=False)] * max(1, self._budget.tokens // len(probe))
        fullest = max(self._micro_batches(probes), key=len)
        self._require_success([[probe for _ in row] for row in fullest])
        return True

    def _probe(self) -> list[int]:
        return self.tokenizer.encode(_PROBE_TEXT).ids

    def _require_success(self, rows: Sequence[Row]) -> None:
        """Run a micro-batch of ordinary texts. Raises ModelError when it fails, or what says that memory ran out."""
        try:
            self._forward(rows)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"the model {self.name} fails on an ordinary text ({_reason(error)}); "
                "check the model, and the device it runs on, with: moderate classify hello"
            ) from error


def _flat(nested: Iterable[Iterable[T]]) -> list[T]:
    return list(chain.from_iterable(nested))


def _ids(rows: MicroBatch) -> list[Row]:
    return [[item.ids for item in row] for row in rows]


def _reason(error: Exception) -> str:
    """Say what went wrong without the exception's message, which may quote a text."""
    return "its scores are not finite" if isinstance(error, NotFiniteError) else type(error).__name__
