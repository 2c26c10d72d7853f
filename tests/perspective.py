"""The Perspective API's routes without a server: what a request is answered with."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from consumer.http.errors import ApiError
from consumer.http.perspective import attributes_of
from consumer.http.perspective_analyze import analyzed
from consumer.http.perspective_models import AnalyzeRequest, parse
from consumer.jobs import Answers
from consumer.micro_batcher import MicroBatcher
from consumer.model.doubt import doubted, with_language
from consumer.model.labels import TagGroups
from consumer.policy import Policy
from consumer.predictor import Predictor
from consumer.settings import Settings
from consumer.verdict import Judge
from schemas import ModelInfo
from tests.fakes import TAG_GROUPS, DictCache, WordEngine

ITALIAN = "sei un idiota e non capisci niente"


class EnglishEngine(WordEngine):
    """Says of a text in another language that it does not know it."""

    def classify(self, model_texts: Any) -> Answers:
        answers = super().classify(model_texts)
        return [doubted(text, answer, TAG_GROUPS) for text, answer in zip(model_texts, answers, strict=True)]


@contextmanager
def predicting(
    engine: WordEngine, groups: TagGroups, cache: DictCache, languages: Mapping[str, Sequence[str]]
) -> Iterator[Predictor]:
    batcher = MicroBatcher(engine, max_waiting_texts=16)
    judge = Judge(tags_of=groups.tags, model=ModelInfo(name="words", version="1"), policy=Policy())
    labels = {f"{group}.{label}" for group, names in groups.label_names().items() for label in names}
    try:
        yield Predictor(batcher, cache, cache.key, judge, labels, languages)
    finally:
        batcher.close(timeout_s=10.0)


def analyze(
    body: dict[str, Any],
    *,
    english_only: bool = False,
    languages: Mapping[str, Sequence[str]] | None = None,
    cache: DictCache | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """The answer as it goes out; with `english_only`, of a model that says so."""
    engine, groups = (EnglishEngine(), with_language(TAG_GROUPS)) if english_only else (WordEngine(), TAG_GROUPS)
    declared = languages or dict.fromkeys(groups.label_names(), ["en"] if english_only else [])
    given = Settings(**settings)
    with predicting(engine, groups, cache if cache is not None else DictCache(), declared) as predictor:
        asked = parse(json.dumps(body).encode(), AnalyzeRequest)
        known = attributes_of(given, predictor.labels)
        skip = given.perspective_skip_unknown
        answer = asyncio.run(analyzed(asked, predictor, known, timeout_s=10.0, skip_unknown=skip)).answer
    found: dict[str, Any] = json.loads(answer.model_dump_json(exclude_none=True))
    return found


def refused(body: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The error in the answer to `body`."""
    with pytest.raises(ApiError) as raised:
        analyze(body, **options)
    return error_of(raised.value)


def error_of(error: ApiError) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(error.response().body))["error"]
    return found


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}} | more


def error_type(error: dict[str, Any]) -> str:
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    [detail] = error["details"]
    assert detail["@type"] == "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
    found: str = detail["errorType"]
    return found
