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

import torch

Text = Sequence[int]
Row = Sequence[Text]

LONGEST_TRIED = 512
_MOST_DIFFERENCE = {torch.float32: 0.001, torch.bfloat16: 0.05, torch.float16: 0.01}
"""Of a logit, as a share of the largest: what rounding may do. A shape that was fixed by mistake does more."""


class LaidOut(NamedTuple):
    """The rows of a forward pass as tensors, padded to the longest; int64.

    `input_ids`, `text_numbers` (from 1, 0 for padding) and `position_ids` have the shape (rows, tokens); `firsts`, the
    place of each text's first token among all tokens, has the shape (texts,).
    """

    input_ids: torch.Tensor
    text_numbers: torch.Tensor
    position_ids: torch.Tensor
    firsts: torch.Tensor


class Runner(Protocol):
    """What runs a classifier on a device; called by one thread."""

    device: torch.device
    dtype: torch.dtype
    shares_rows: bool
    """Whether a row may hold several texts."""
    passes_at_once: int
    """How many passes should have begun while there are more to run; 1 where each takes all there is."""

    def __call__(self, *laid_out: torch.Tensor) -> torch.Tensor:
        """Return the logits of each text of the tensors of a `LaidOut`, in fp32, shape (texts, logits)."""
        ...

    def begin(self, *laid_out: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Begin a pass that runs beside others; what is returned waits for it and returns what a call would."""
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

    shares_rows = False
    passes_at_once = 1

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        self.device: torch.device = classifier.device
        self.dtype: torch.dtype = classifier.dtype

    def forward(self, input_ids: torch.Tensor, text_numbers: torch.Tensor, *_: torch.Tensor) -> Any:
        """Return the logits of each text; takes the tensors of a `LaidOut`."""
        return self.classifier(input_ids=input_ids, attention_mask=(text_numbers > 0).long()).logits.float()

    def begin(self, *laid_out: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Nothing runs beside another pass here: it is run when it is waited for."""
        return partial(self, *laid_out)


class SharedRows(OneTextARow):
    """A BERT classifier; its rows hold several texts."""

    shares_rows = True

    def forward(self, input_ids: torch.Tensor, text_numbers: torch.Tensor, *places: torch.Tensor) -> Any:
        """Return the logits of each text; takes the tensors of a `LaidOut`."""
        position_ids, firsts = places
        own_text = text_numbers[:, :, None] == text_numbers[:, None, :]
        hidden = self.classifier.bert(
            input_ids=input_ids, attention_mask=own_text[:, None], position_ids=position_ids
        ).last_hidden_state
        first_tokens = hidden.flatten(0, 1)[firsts]
        return self.classifier.classifier(self.classifier.bert.pooler(first_tokens[:, None])).float()


def in_rows(classifier: Any, longest: int, last_id: int) -> OneTextARow:
    """Return `classifier`, a PyTorch module, as it takes rows: several texts in each where that gives the same scores.

    Texts of up to `longest` tokens and ids up to `last_id` will come.
    """
    if _is_bert(classifier):
        shared = SharedRows(classifier)
        if agrees(shared, classifier, longest, last_id):
            return shared
    return OneTextARow(classifier)


def _is_bert(classifier: Any) -> bool:
    """Whether it has the parts that are called, and attention that is told by true and false what it may see."""
    is_classifier = type(classifier).__name__ == "BertForSequenceClassification"
    return is_classifier and classifier.config._attn_implementation == "sdpa"


def agrees(runner: Runner, classifier: Any, longest: int, last_id: int) -> bool:
    """Whether `runner` gives each text the scores that `classifier`, a PyTorch module, gives it alone.

    Rows of several shapes are tried, because tracing fixes what a model computes from its inputs in Python; the longest
    text and the last token too: beyond a table PyTorch raises, where others would take zeros and go on.
    """
    longest = min(longest, LONGEST_TRIED)
    passes = [[[_text(5)]], [[_text(11)], [_text(8)], [_text(longest, last_id)]]]
    if runner.shares_rows:
        short = max(1, longest // 4)
        passes += [[[_text(short), _text(1), _text(short)], [_text(2)]], [[_text(3, last_id)] * 3, [_text(short)] * 2]]
    return all(_agree(runner, classifier, rows) for rows in passes)


def _agree(runner: Runner, classifier: Any, rows: Sequence[Row]) -> bool:
    device = classifier.device
    laid_out = lay_out(rows, max(sum(map(len, row)) for row in rows), pad_id=0)
    with torch.inference_mode():
        found = runner(*(tensor.to(device) for tensor in laid_out))
        alone = (torch.tensor([text], device=device) for text in chain.from_iterable(rows))
        wanted = torch.cat([classifier(input_ids=ids).logits.float() for ids in alone])
    most = _MOST_DIFFERENCE[runner.dtype] * max(1.0, float(wanted.abs().max()))
    return torch.allclose(found, wanted, rtol=0, atol=most)


def _text(tokens: int, last_id: int = 1) -> list[int]:
    return [*(number % 5 + 1 for number in range(tokens - 1)), last_id]
