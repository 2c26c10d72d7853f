"""Rows of tokens: what a forward pass takes. A row holds one text or, where the model lets them, several.

Several texts in a row leave hardly any padding, and passes of few shapes. Each token sees the tokens of its own text
only and has its position in it, so scores are those of each text alone, but for rounding. Measured on two cores with
the bundled model against a row for each text: 1.10 times the texts per second where 256 were asked for, 1.28 for 16 and
1.23 for 4 with OpenVINO, 1.17 for 256 and 1.42 for 16 with PyTorch. A single text takes 5 to 10 % longer (0.3 ms).
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, Protocol

import structlog
import torch

from consumer.model.device import pass_tokens
from consumer.model.packing import WIDTH_STEPS
from consumer.model.token_budget import is_out_of_memory

log = structlog.get_logger()

Text = Sequence[int]
Row = Sequence[Text]

LONGEST_TRIED = 512
_MOST_DIFFERENCE = {torch.float32: 0.001, torch.bfloat16: 0.05, torch.float16: 0.01}
"""Of a logit, as a share of the largest, or of 1: what rounding may do. A shape that was fixed by mistake does more."""


class LaidOut(NamedTuple):
    """The rows of a forward pass as int32 tensors, padded to one width.

    `input_ids`, `text_numbers` (from 1, 0 for padding) and `position_ids` have the shape (rows, tokens); `firsts`, the
    place of each text's first token among all tokens, has the shape (texts,).
    """

    input_ids: torch.Tensor
    text_numbers: torch.Tensor
    position_ids: torch.Tensor
    firsts: torch.Tensor


class Runner(Protocol):
    """What runs a classifier on a device; called by one thread. Takes the tensors of a `LaidOut` and returns the logits
    of each text in fp32, shape (texts, logits), both in the host's memory."""

    backend: str
    device: torch.device
    dtype: torch.dtype
    shares_rows: bool
    """Whether a row may hold several texts."""
    width_steps: int
    """How many widths of rows it should meet between a power of two and the next."""
    pass_tokens: int
    """What a pass costs beside its tokens, in tokens."""
    passes_at_once: int
    """How many passes should have begun while there are more to run; 1 where each takes all there is."""
    alone_is_faster: bool
    """Whether a pass takes less by `run` than by `begin`: then only what is more than a few passes is begun."""

    def run(self, *laid_out: torch.Tensor) -> torch.Tensor:
        """Run one pass."""
        ...

    def begin(self, *laid_out: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Begin a pass that runs beside others; what is returned waits for it and returns what `run` would."""
        ...


def lay_out(rows: Sequence[Row], width: int, pad_id: int) -> LaidOut:
    """Return rows of texts (token ids), each padded to `width` tokens."""
    ids, numbers, positions, firsts = [], [], [], []
    for row_number, row in enumerate(rows):
        padding = [0] * (width - sum(map(len, row)))
        ids.append([*chain.from_iterable(row), *[pad_id] * len(padding)])
        numbers.append([*chain.from_iterable([number] * len(text) for number, text in enumerate(row, 1)), *padding])
        positions.append([*chain.from_iterable(range(len(text)) for text in row), *padding])
        at = row_number * width
        for text in row:
            firsts.append(at)
            at += len(text)
    return LaidOut(*(torch.tensor(values, dtype=torch.int32) for values in (ids, numbers, positions, firsts)))


class OneTextARow(torch.nn.Module):
    """Any classifier of transformers; its rows hold one text each."""

    backend = "torch"
    shares_rows = False
    width_steps = WIDTH_STEPS
    passes_at_once = 1
    alone_is_faster = True

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        self.device: torch.device = classifier.device
        self.pass_tokens = pass_tokens(self.device)
        self.dtype: torch.dtype = classifier.dtype

    def forward(self, input_ids: torch.Tensor, text_numbers: torch.Tensor, *_: torch.Tensor) -> Any:
        """Return the logits of each text; takes the tensors of a `LaidOut`, and all lies on its device."""
        mask = (text_numbers > 0).long()
        return self.classifier(input_ids=input_ids.long(), attention_mask=mask).logits.float()

    def run(self, *laid_out: torch.Tensor) -> torch.Tensor:
        """Run one pass."""
        logits: torch.Tensor = self(*(tensor.to(self.device) for tensor in laid_out))
        return logits.cpu()

    def begin(self, *laid_out: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Nothing runs beside another pass here: it is run when it is waited for."""
        return partial(self.run, *laid_out)


class SharedRows(OneTextARow):
    """A BERT classifier; its rows hold several texts."""

    shares_rows = True

    def forward(self, input_ids: torch.Tensor, text_numbers: torch.Tensor, *places: torch.Tensor) -> Any:
        """Return the logits of each text; takes the tensors of a `LaidOut`, and all lies on its device."""
        position_ids, firsts = places
        own_text = text_numbers[:, :, None] == text_numbers[:, None, :]
        hidden = self.classifier.bert(
            input_ids=input_ids, attention_mask=own_text[:, None], position_ids=position_ids
        ).last_hidden_state
        first_tokens = hidden.flatten(0, 1)[firsts]
        return self.classifier.classifier(self.classifier.bert.pooler(first_tokens[:, None])).float()


def in_rows(classifier: Any, longest: int, pad_id: int) -> OneTextARow:
    """Return `classifier`, a PyTorch module, as it takes rows: several texts in each where that gives the same scores.

    Texts of up to `longest` tokens will come. Raises only what says that memory ran out.
    """
    if _is_bert(classifier):
        shared = SharedRows(classifier)
        try:
            if agrees(shared, classifier, longest, pad_id):
                return shared
            why = "its scores differ"
        except Exception as error:
            if is_out_of_memory(error):
                raise
            why = type(error).__name__
        log.info("rows_not_shared", reason=why, meaning="each text has a row of its own, with more padding")
    return OneTextARow(classifier)


def _is_bert(classifier: Any) -> bool:
    """Whether it has the parts that are called, and attention that is told by true and false what it may see."""
    if type(classifier).__name__ != "BertForSequenceClassification":
        return False
    return classifier.config._attn_implementation == "sdpa" and not classifier.config.is_decoder


def agrees(runner: Runner, classifier: Any, longest: int, pad_id: int, last_id: int | None = None) -> bool:
    """Whether `runner` gives each text the scores that `classifier`, a PyTorch module, gives it alone.

    Rows of several shapes are tried, because tracing fixes what a model computes from its inputs in Python; the longest
    text and the token `last_id` too: beyond a table PyTorch raises, where others would take zeros and go on.
    """
    text = partial(_text, pad_id=pad_id)
    long = text(min(longest, LONGEST_TRIED))
    passes = [[[text(5)]], [[text(11)], [text(8)], [[*long[:-1], long[-1] if last_id is None else last_id]]]]
    if runner.shares_rows:
        short = max(1, len(long) // 4)
        passes += [[[text(short), text(1), text(short)], [text(2)]], [[text(3)] * 3, [text(short)] * 2]]
    return all(_agree(runner, classifier, rows, pad_id) for rows in passes)


def _agree(runner: Runner, classifier: Any, rows: Sequence[Row], pad_id: int) -> bool:
    device = classifier.device
    laid_out = lay_out(rows, max(sum(map(len, row)) for row in rows), pad_id)
    with torch.inference_mode():
        found = [runner.run(*laid_out)] + ([runner.begin(*laid_out)()] if runner.passes_at_once > 1 else [])
        alone = (torch.tensor([text], device=device) for text in chain.from_iterable(rows))
        wanted = torch.cat([classifier(input_ids=ids, attention_mask=torch.ones_like(ids)).logits for ids in alone])
    most = _MOST_DIFFERENCE[runner.dtype] * max(1.0, float(wanted.abs().max()))
    return all(torch.allclose(logits, wanted.float().cpu(), rtol=0, atol=most) for logits in found)


def _text(tokens: int, pad_id: int) -> list[int]:
    """A text without the token that stands for nothing."""
    ids = [number for number in range(1, 7) if number != pad_id][:5]
    return [ids[number % 5] for number in range(tokens)]
