"""Which words carried a tag: integrated gradients (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365)."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from consumer.answer import Answer
from consumer.model.engine import Engine
from consumer.model.errors import ModelError
from consumer.model.joint import JointEngine, engines_of
from consumer.model.labels import TagGroup

_STEPS = 64  # of the bundled model's scores, 32 steps miss up to 0.05 and 64 at most 0.0004
_STEPS_AT_ONCE = 16  # bounds the memory of a text of 512 tokens


class Word(NamedTuple):
    """A word at `start` to `end` of the text the model read, and what it added to the score of the label."""

    text: str
    start: int
    end: int
    attribution: float


class Explanation(NamedTuple):
    """Why a tag group got its label.

    `towards` is the label whose score is explained; it differs from `label` where that one is only the absence of all
    named labels, such as "clean". Each word says how much of `score` - `baseline_score` is due to it. Scores are the
    model's own, calibrated, before any doubt about the text's language.
    """

    group: str
    label: str
    towards: str
    score: float
    baseline_score: float
    words: list[Word]

    @property
    def total(self) -> float:
        """The sum over the words."""
        return sum(word.attribution for word in self.words)

    @property
    def completeness_error(self) -> float:
        """How far the sum is from what it must be, the difference of the two scores; it shrinks with more steps."""
        return abs(self.total - (self.score - self.baseline_score))


def explain(loaded: Engine | JointEngine, model_text: str, answer: Answer) -> list[Explanation]:
    """Explain every tag group of `answer` that comes from a model's logits; blocks for 64 passes a group.

    The path goes from the text with every token but the special ones replaced by the padding token to the text itself.
    Every engine must run in fp32: in half precision the gradients do not add up. Raises ModelError when it does not, or
    when captum is missing.
    """
    if find_spec("captum") is None:
        raise ModelError('explaining needs the package captum; run: pip install "comment-moderation-stream[explain]"')
    networks = [engine.network for engine in engines_of(loaded)]
    if not all(isinstance(network, torch.nn.Module) and network.dtype == torch.float32 for network in networks):
        raise ModelError(
            "only a model that PyTorch runs in fp32 can be explained; load it with MODEL_DTYPE=float32 "
            "MODEL_BACKEND=torch"
        )
    labels = {group: tag.label for group, tag in loaded.tag_groups.tags(answer).items()}
    found: dict[str, Explanation] = {}
    for engine in engines_of(loaded):
        for group in engine.tag_groups.groups:
            if group.columns and group.name not in found:
                found[group.name] = _explanation(engine, model_text, group, labels[group.name])
    return list(found.values())


def _explanation(engine: Engine, model_text: str, group: TagGroup, label: str) -> Explanation:
    from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

    network, encoding = engine.network, engine.tokenizer.encode(model_text)
    ids = encoding.ids or [network.config.pad_token_id]
    neutral = [
        token if special else network.config.pad_token_id
        for token, special in zip(ids, encoding.special_tokens_mask or [1], strict=True)
    ]
    towards, columns = _towards(engine, ids, group, label)

    def score(embedded: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)
        logits = engine.scoring.calibrated(network(inputs_embeds=embedded, attention_mask=mask).logits)
        if group.activation == "sigmoid":
            return logits[:, columns[0]].sigmoid()
        # The columns that carry one label add up: log-sum-exp over them, against all of the group.
        return (logits[:, columns].logsumexp(dim=1) - logits[:, list(group.columns)].logsumexp(dim=1)).exp()

    embed = network.get_input_embeddings()
    text, baseline = (embed(torch.tensor([row], device=network.device)) for row in (ids, neutral))
    attributions: torch.Tensor = IntegratedGradients(score).attribute(
        text, baseline, n_steps=_STEPS, internal_batch_size=_STEPS_AT_ONCE
    )
    with torch.no_grad():
        score_of_text, score_of_baseline = float(score(text)), float(score(baseline))
    words = _words(encoding, model_text, attributions.sum(dim=2)[0].tolist())
    return Explanation(group.name, label, towards, score_of_text, score_of_baseline, words)


def _towards(engine: Engine, ids: Sequence[int], group: TagGroup, label: str) -> tuple[str, list[int]]:
    """Return the label to explain and the columns that carry it; of a sigmoid group's, the highest alone counts."""
    with torch.no_grad():
        logits = engine.network(input_ids=torch.tensor([ids], device=engine.network.device)).logits[0]
    if label not in group.labels:
        label = max(zip(group.labels, group.columns, strict=True), key=lambda named: float(logits[named[1]]))[0]
    columns = [column for name, column in zip(group.labels, group.columns, strict=True) if name == label]
    if group.activation == "sigmoid":
        columns = [max(columns, key=lambda column: float(logits[column]))]
    return label, columns


def _words(encoding: Any, text: str, attributions: Sequence[float]) -> list[Word]:
    """Sum the attributions of the pieces of each of the tokenizer's words."""
    words: dict[int, Word] = {}
    for word_id, (start, end), attribution in zip(encoding.word_ids, encoding.offsets, attributions, strict=False):
        if word_id is None:
            continue  # a special token: the same on both ends of the path, so it has nothing to say
        known = words.get(word_id)
        if known:
            start, end, attribution = known.start, max(end, known.end), attribution + known.attribution
        words[word_id] = Word(text[start:end].strip(), start, end, attribution)
    return list(words.values())
