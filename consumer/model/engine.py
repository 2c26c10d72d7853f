"""The model engine: texts in, scores out, in forward passes within the token budget."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer

from consumer.answer import Answer, ModelPass, Unanswerable
from consumer.model.calibration import Calibration
from consumer.model.cleaning import clean
from consumer.model.device import pass_tokens
from consumer.model.doubt import LANGUAGE, doubted
from consumer.model.encoding import Encoded, encode
from consumer.model.errors import ModelError
from consumer.model.labels import TagGroups
from consumer.model.language import other_language_score
from consumer.model.normaliser import idempotent_normaliser
from consumer.model.packing import micro_batches, width
from consumer.model.rows import Row, Runner, lay_out
from consumer.model.scores import per_column, scores_of
from consumer.model.token_budget import TokenBudget, is_out_of_memory

_PROBE_TEXT = "This is a good day."


class _NotFiniteError(Exception):
    """The model answered with NaN or infinity."""


MicroBatch = Sequence[Sequence[Encoded]]
"""Rows of texts."""
Logits = Callable[[], torch.Tensor]
"""Waits for a pass that has begun."""


class Pass(NamedTuple):
    """A micro-batch, and since when it is run, where it has begun."""

    rows: MicroBatch
    logits: Logits | None = None
    began_s: float = 0.0


class Engine:
    """One loaded model. `classify` belongs to one thread; `model_text` may be called from any other meanwhile.

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
        on_pass: Callable[[ModelPass], None] = lambda _: None,
    ) -> None:
        """`on_pass` is told of every forward pass that answered texts, on the thread that classifies."""
        self._on_pass = on_pass
        self.name = name
        self.version = version
        self.tag_groups = tag_groups
        self.calibration = calibration
        self._runner = runner
        self._device = runner.device
        self._temperatures = per_column(tag_groups, calibration.temperatures, 1.0).to(self._device)
        self._offsets = per_column(tag_groups, calibration.offsets, 0.0).to(self._device)
        self.fingerprint = f"{version}-{str(runner.dtype).removeprefix('torch.')}"
        self._max_text_tokens = max_text_tokens
        self._pass_tokens = pass_tokens(self._device)
        self._budget = TokenBudget(
            name, self._device, most_tokens=max_batch_tokens, least_tokens=min(max_batch_tokens, max_text_tokens)
        )
        self._ended_s = 0.0
        self._in_flight = 0
        self._pad_id = pad_id
        self._tokenizer = tokenizer
        # Set once and never per call: another thread may be tokenising.
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_text_tokens)
        tokenizer.encode_special_tokens = True  # "[SEP]" in a comment is text, not structure
        self._normalise = idempotent_normaliser(tokenizer)

    @property
    def network(self) -> Any:
        """PyTorch's classifier, to look into it, or OpenVINO's; only where no other thread classifies."""
        return getattr(self._runner, "classifier", self._runner)

    @property
    def backend(self) -> str:
        """What runs the model: torch or openvino."""
        return "torch" if isinstance(self._runner, torch.nn.Module) else "openvino"

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer as it is used, to see which piece of a text is which token; not to be changed."""
        return self._tokenizer

    def calibrated(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the network's logits, shape (texts, logits), as the model's calibration corrects them."""
        return logits / self._temperatures + self._offsets

    def model_text(self, text: str) -> str:
        """Return `text` as the model sees it: what `classify` takes, and what cache keys are made of.

        Texts that differ only in what the model ignores (accents, say, or letter case) become equal.
        """
        return self._normalise(clean(text))

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

    def steps(self, model_texts: Sequence[str]) -> Generator[None, None, list[Answer | Unanswerable]]:
        """`classify` that stops between two micro-batches, where other texts may be classified."""
        unique = list(dict.fromkeys(model_texts))
        encoded = encode(self._tokenizer, unique, self._pad_id)
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
        while not self._budget.attempt(self._run_extremes):
            pass  # the budget is smaller now, or has waited

    def _answer_within_memory(self, items: list[Encoded]) -> Generator[None, None, list[Answer | Unanswerable]]:
        """Answer in micro-batches; when memory runs out, what is left is packed anew into smaller ones."""
        answers: dict[int, Answer | Unanswerable] = {}
        while left := [index for index in range(len(items)) if index not in answers]:
            batches = self._micro_batches([items[index] for index in left])
            micro_batches = [[[items[left[position]] for position in row] for row in batch] for batch in batches]
            for batch, answer in zip(batches, self._begun(micro_batches), strict=True):
                found = self._budget.attempt(answer)
                if found is None:
                    break
                indices = (left[position] for row in batch for position in row)
                answers.update(zip(indices, found, strict=True))
                if len(answers) < len(items):
                    yield
        return [answers[index] for index in range(len(items))]

    def _begun(self, micro_batches: Sequence[MicroBatch]) -> Iterator[Callable[[], list[Answer | Unanswerable]]]:
        """For each micro-batch what answers it, in order; where passes run side by side, the next ones have begun."""
        most = self._runner.passes_at_once
        at_once = most if len(micro_batches) > most or self._in_flight else 1  # beside another job: an equal share
        begun: deque[Pass] = deque()
        try:
            for rows in micro_batches:
                begun.append(self._begin(rows) if at_once > 1 else Pass(rows))
                if len(begun) == at_once:
                    yield partial(self._answer, begun.popleft())
            while begun:
                yield partial(self._answer, begun.popleft())
        finally:
            for left in begun:  # nobody wants them any more, but they still read what they were given
                with suppress(Exception):
                    left.logits and left.logits()

    def _begin(self, rows: MicroBatch) -> Pass:
        try:
            logits = self._runner.begin(*self._laid_out(_ids(rows)))
        except Exception:
            return Pass(rows)  # when its turn comes it is run, and what fails is dealt with
        self._in_flight += 1
        return Pass(rows, partial(self._wait, logits), time.perf_counter())

    def _wait(self, logits: Logits) -> torch.Tensor:
        self._in_flight -= 1
        return logits()

    def _run(self, rows: Sequence[Row]) -> torch.Tensor:
        """Run one pass on all threads, or beside those of another job that are in flight: two sets of threads would
        take the processors from whoever answers HTTP callers."""
        laid_out = self._laid_out(rows)
        return self._runner.begin(*laid_out)() if self._in_flight else self._runner(*laid_out)

    def _micro_batches(self, items: Sequence[Encoded]) -> list[list[list[int]]]:
        lengths = [len(item.ids) for item in items]
        max_batch_tokens = self._budget.tokens
        if self._runner.passes_at_once > 1 and 2 * sum(lengths) > self._runner.passes_at_once * max_batch_tokens:
            max_batch_tokens //= 2  # shorter passes end together more nearly, and let others in as often
        return micro_batches(
            lengths,
            most_tokens=self._max_text_tokens,
            max_batch_tokens=max_batch_tokens,
            pass_tokens=self._pass_tokens,
            shares_rows=self._runner.shares_rows,
        )

    def _answer(self, one: Pass) -> list[Answer | Unanswerable]:
        """Run one micro-batch, or wait for it where it has begun; halve it where it fails, until the text that makes
        the model fail stands alone. Raises what says that memory ran out.
        """
        rows = one.rows
        items = [item for row in rows for item in row]
        began_s = one.began_s or time.perf_counter()
        try:
            scores = self._forward(_ids(rows), one.logits)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = _reason(error)
        else:
            ended_s = time.perf_counter()
            took_s, self._ended_s = ended_s - max(began_s, self._ended_s), ended_s
            tokens = [sum(len(item.ids) for item in row) for row in rows]
            self._on_pass(ModelPass(len(items), sum(tokens), len(rows) * self._width(tokens), took_s))
            return [Answer(tuple(of_text), item.truncated) for of_text, item in zip(scores, items, strict=True)]
        # Not in the handler: the error's frames hold the failed pass's tensors.
        if len(items) > 1:
            [halved] = [rows] if len(rows) > 1 else [[[item] for item in rows[0]]]
            middle = len(halved) // 2
            return self._answer(Pass(halved[:middle])) + self._answer(Pass(halved[middle:]))
        self._require_success([[self._probe()]])
        return [Unanswerable(f"the model failed on it: {reason}")]

    def _forward(self, rows: Sequence[Row], logits: Logits | None = None) -> list[list[float]]:
        """Return the scores per text, in the order of the tag groups; raises whatever the model raises."""
        with torch.inference_mode():
            found = logits() if logits else self._run(rows)
            scores = scores_of(self.calibrated(found), self.tag_groups)
            if not bool(torch.isfinite(scores).all()):
                raise _NotFiniteError
            by_text: list[list[float]] = scores.tolist()
        return by_text

    def _laid_out(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        laid_out = lay_out(rows, self._width([sum(map(len, row)) for row in rows]), self._pad_id)
        return [tensor.to(self._device) for tensor in laid_out]

    def _width(self, tokens: Sequence[int]) -> int:
        return width(max(tokens), self._max_text_tokens)

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
        return self._tokenizer.encode(_PROBE_TEXT).ids

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


def _ids(rows: MicroBatch) -> list[Row]:
    return [[item.ids for item in row] for row in rows]


def _reason(error: Exception) -> str:
    """Say what went wrong without the exception's message, which may quote a text."""
    return "its scores are not finite" if isinstance(error, _NotFiniteError) else type(error).__name__
