"""The model engine: texts in, scores out, in as few forward passes as the token budget allows."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from tokenizers import Tokenizer

from consumer.answer import Answer, ModelPass, Unanswerable
from consumer.model.calibration import Calibration
from consumer.model.cleaning import clean
from consumer.model.device import pass_tokens
from consumer.model.doubt import LANGUAGE, doubted
from consumer.model.errors import ModelError
from consumer.model.labels import TagGroups
from consumer.model.language import other_language_score
from consumer.model.packing import pack, width
from consumer.model.token_budget import TokenBudget, is_out_of_memory

_PROBE_TEXT = "This is a good day."
_NORMALISER_PROBES = (
    "Hello WORLD",
    "Crème Brûlée naïve",
    "İstanbul straße",
    "中文 test",
    "😀 ok",
    "a  b",
    "…™ ½",
    "it's @user #tag",
)


class _NotFiniteError(Exception):
    """The model answered with NaN or infinity."""


@dataclass(frozen=True)
class Encoded:
    """One tokenised text: its token ids, and whether they are only its beginning."""

    ids: list[int]
    truncated: bool


class Engine:
    """One loaded model. `classify` belongs to one thread; `model_text` may be called from any other meanwhile.

    `version` names the content (weights, tokenizer, tag groups, cleaning), `fingerprint` adds the number format:
    answers of equal fingerprints may stand in for each other. Made by `load_engine`.
    """

    def __init__(
        self,
        model: Any,
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
        """`model` is a PyTorch classifier or what stands in for it (`device`, `dtype`, and called with input_ids and
        attention_mask it returns logits). `on_pass` is told of every forward pass that answered texts, on the thread
        that classifies.
        """
        self._on_pass = on_pass
        self.name = name
        self.version = version
        self.tag_groups = tag_groups
        self.calibration = calibration
        self._model = model
        self._device: torch.device = model.device
        self._temperatures = _per_column(tag_groups, calibration.temperatures, 1.0).to(self._device)
        self._offsets = _per_column(tag_groups, calibration.offsets, 0.0).to(self._device)
        self.fingerprint = f"{version}-{str(model.dtype).removeprefix('torch.')}"
        self._max_text_tokens = max_text_tokens
        self._pass_tokens = pass_tokens(self._device)
        self._budget = TokenBudget(
            name, self._device, most_tokens=max_batch_tokens, least_tokens=min(max_batch_tokens, max_text_tokens)
        )
        self._pad_id = pad_id
        self._tokenizer = tokenizer
        # Set once and never per call: another thread may be tokenising.
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_text_tokens)
        tokenizer.encode_special_tokens = True  # "[SEP]" in a comment is text, not structure
        self._normalise = _idempotent_normaliser(tokenizer)

    @property
    def network(self) -> Any:
        """The classifier, to look into it; only where no other thread classifies. PyTorch's unless OpenVINO runs it."""
        return self._model

    @property
    def backend(self) -> str:
        """What runs the model: torch or openvino."""
        return "torch" if isinstance(self._model, torch.nn.Module) else "openvino"

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
        encoded = self._encode(unique)
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

    def _encode(self, texts: list[str]) -> list[Encoded | None]:
        """Tokenise all texts at once; where that raises, one by one, None standing for those that fail."""
        try:
            encodings = self._tokenizer.encode_batch_fast(texts)
        except Exception:
            if len(texts) == 1:
                return [None]
            return [item for text in texts for item in self._encode([text])]
        # A tokenizer without special tokens makes nothing of an empty text, but the model needs one token.
        return [Encoded(encoding.ids or [self._pad_id], bool(encoding.overflowing)) for encoding in encodings]

    def _answer_within_memory(self, items: list[Encoded]) -> Generator[None, None, list[Answer | Unanswerable]]:
        """Answer in micro-batches; when memory runs out, what is left is packed anew into smaller ones."""
        answers: dict[int, Answer | Unanswerable] = {}
        while left := [index for index in range(len(items)) if index not in answers]:
            widths = [width(len(items[index].ids), self._max_text_tokens) for index in left]
            for batch in pack(widths, self._budget.tokens, self._pass_tokens):
                if answers:
                    yield
                indices = [left[position] for position in batch]
                found = self._budget.attempt(partial(self._answer, [items[index] for index in indices]))
                if found is None:
                    break
                answers.update(zip(indices, found, strict=True))
        return [answers[index] for index in range(len(items))]

    def _answer(self, items: list[Encoded]) -> list[Answer | Unanswerable]:
        """Run one micro-batch; halve it where it fails, until the text that makes the model fail stands alone.

        Raises what says that memory ran out.
        """
        batch = [item.ids for item in items]
        began_s = time.perf_counter()
        try:
            rows = self._forward(batch)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = _reason(error)
        else:
            took_s = time.perf_counter() - began_s
            self._on_pass(ModelPass(len(batch), sum(map(len, batch)), len(batch) * self._width(batch), took_s))
            return [Answer(tuple(row), item.truncated) for row, item in zip(rows, items, strict=True)]
        # Not in the handler: the error's frames hold the failed pass's tensors.
        if len(items) > 1:
            middle = len(items) // 2
            return self._answer(items[:middle]) + self._answer(items[middle:])
        self._require_success([self._probe()])
        return [Unanswerable(f"the model failed on it: {reason}")]

    def _forward(self, batch: list[list[int]]) -> list[list[float]]:
        """Return the scores per text, in the order of the tag groups; raises whatever the model raises."""
        padded = self._width(batch)
        input_ids = torch.tensor([ids + [self._pad_id] * (padded - len(ids)) for ids in batch])
        lengths = torch.tensor([len(ids) for ids in batch])
        mask = (torch.arange(padded) < lengths[:, None]).long()
        with torch.inference_mode():
            output = self._model(input_ids=input_ids.to(self._device), attention_mask=mask.to(self._device))
            scores = _scores(self.calibrated(output.logits.float()), self.tag_groups)
            if not bool(torch.isfinite(scores).all()):
                raise _NotFiniteError
            rows: list[list[float]] = scores.tolist()
        return rows

    def _width(self, batch: list[list[int]]) -> int:
        return width(max(map(len, batch)), self._max_text_tokens)

    def _run_extremes(self) -> bool:
        """Run the shortest, the longest and the fullest micro-batch."""
        probe = self._probe()
        self._require_success([probe])
        self._require_success([[self._pad_id + 1] * self._max_text_tokens])
        self._require_success([probe] * max(1, self._budget.tokens // self._width([probe])))
        return True

    def _probe(self) -> list[int]:
        return self._tokenizer.encode(_PROBE_TEXT).ids

    def _require_success(self, batch: list[list[int]]) -> None:
        """Run a micro-batch of ordinary texts. Raises ModelError when it fails, or what says that memory ran out."""
        try:
            self._forward(batch)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"the model {self.name} fails on an ordinary text ({_reason(error)}); "
                "check the model, and the device it runs on, with: moderate classify hello"
            ) from error


def _scores(logits: torch.Tensor, groups: TagGroups) -> torch.Tensor:
    parts = []
    for group in groups.groups:
        columns = logits[:, list(group.columns)]
        parts.append(columns.softmax(dim=1) if group.activation == "softmax" else columns.sigmoid())
    return torch.cat(parts, dim=1)


def _per_column(groups: TagGroups, by_group: Mapping[str, float], otherwise: float) -> torch.Tensor:
    """Return the number of each logit's tag group, `otherwise` where it has none."""
    columns = {column: by_group.get(group.name, otherwise) for group in groups.groups for column in group.columns}
    return torch.tensor([columns.get(column, otherwise) for column in range(max(columns) + 1)])


def _reason(error: Exception) -> str:
    """Say what went wrong without the exception's message, which may quote a text."""
    return "its scores are not finite" if isinstance(error, _NotFiniteError) else type(error).__name__


def _idempotent_normaliser(tokenizer: Tokenizer) -> Callable[[str], str]:
    """Return the tokenizer's own normalisation, or none where doing it twice is not the same as once.

    The tokenizer normalises again what it is given, so only an idempotent one may run ahead of it.
    """
    normaliser = tokenizer.normalizer
    if normaliser is None:
        return str

    def normalise(text: str) -> str:
        return " ".join(normaliser.normalize_str(text).split())

    for probe in _NORMALISER_PROBES:
        once = normalise(probe)
        if normalise(once) != once or tokenizer.encode(once).ids != tokenizer.encode(probe).ids:
            return str
    return normalise
