import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from consumer.answer import Answer
from consumer.model import Engine, ModelError, load_engine
from consumer.model.explain import Explanation, explain
from consumer.model.rows import OneTextARow
from tests.tiny_models import save_classifier

TEXT = "Zebra, a good QUIZ!"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(str(save_classifier(tmp_path_factory.mktemp("model"))), device="cpu", dtype="float32")


def explanations(engine: Engine, text: str) -> list[Explanation]:
    model_text = engine.model_text(text)
    answer = engine.classify([model_text])[0]
    assert isinstance(answer, Answer)
    return explain(engine, model_text, answer)


def plant(engine: Engine, monkeypatch: pytest.MonkeyPatch, piece: str, column: int, gain: float) -> None:
    """Replace the classifier by one whose logit `column` counts one piece and whose others stay at zero."""
    token = engine.tokenizer.token_to_id(piece)
    embeddings = engine.network.get_input_embeddings()
    planted = embeddings.weight[token] / embeddings.weight[token].norm() ** 2

    def forward(inputs_embeds: torch.Tensor | None = None, input_ids: torch.Tensor | None = None, **_: Any) -> Any:
        embedded = embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        counted = (embedded @ planted).sum(dim=1)
        logits = torch.zeros(len(embedded), 4).index_add(1, torch.tensor([column]), gain * counted[:, None])
        return type("Output", (), {"logits": logits})

    monkeypatch.setattr(engine.network, "forward", forward)
    monkeypatch.setattr(engine._passes, "runner", OneTextARow(engine.network))


def test_there_is_one_explanation_per_tag_group_for_the_label_the_engine_gives(engine: Engine) -> None:
    answer = engine.classify([engine.model_text(TEXT)])[0]
    assert isinstance(answer, Answer)
    tags = engine.tag_groups.tags(answer)
    found = explanations(engine, TEXT)
    assert {explanation.group: explanation.label for explanation in found} == {g: tag.label for g, tag in tags.items()}
    for explanation in found:
        assert explanation.score == pytest.approx(tags[explanation.group].scores[explanation.towards], abs=1e-3)


@pytest.mark.parametrize("text", [TEXT, "a", "so very very very good, is it not?", "word " * 60])
def test_the_words_add_up_to_what_the_text_adds_to_the_score(engine: Engine, text: str) -> None:
    for explanation in explanations(engine, text):
        assert explanation.completeness_error < 0.01
        assert explanation.total == pytest.approx(explanation.score - explanation.baseline_score, abs=0.01)


def test_every_word_stands_where_its_offsets_say_in_the_text_the_model_read(engine: Engine) -> None:
    model_text = engine.model_text(TEXT)
    for explanation in explanations(engine, TEXT):
        assert [word.text for word in explanation.words] == ["zebra", ",", "a", "good", "quiz", "!"]
        assert all(model_text[word.start : word.end] == word.text for word in explanation.words)


def test_the_word_that_the_model_reacts_to_comes_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(engine, monkeypatch, "##z", column=2, gain=3.0)
    sentiment = explanations(engine, TEXT)[0]
    assert (sentiment.label, sentiment.towards) == ("positive", "positive")
    assert max(sentiment.words, key=lambda word: word.attribution).text == "quiz"


def test_a_label_that_is_the_absence_of_others_is_explained_by_what_speaks_for_those(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(engine, monkeypatch, "##z", column=3, gain=-3.0)
    toxicity = explanations(engine, TEXT)[1]
    assert (toxicity.label, toxicity.towards) == ("clean", "toxic")
    assert toxicity.score < 0.5
    assert min(toxicity.words, key=lambda word: word.attribution).text == "quiz"


def test_the_score_is_the_calibrated_one(tmp_path: Path) -> None:
    model = save_classifier(tmp_path)
    sharp = explanations(load_engine(str(model), dtype="float32"), TEXT)[0].score
    (model / "calibration.json").write_text('{"temperatures": {"sentiment": 50.0}, "offsets": {"toxicity": -2.0}}')
    engine = load_engine(str(model), dtype="float32")
    sentiment, toxicity = explanations(engine, TEXT)
    assert sentiment.score == pytest.approx(1 / 3, abs=0.05) != sharp
    answer = engine.classify([engine.model_text(TEXT)])[0]
    assert isinstance(answer, Answer)
    assert toxicity.score == pytest.approx(engine.tag_groups.scores(answer)["toxicity"]["toxic"], abs=1e-4)


def test_two_logits_of_one_label_are_explained_together(tmp_path: Path) -> None:
    stars = {f"LABEL_{n}": f"sentiment.{label}" for n, label in enumerate(["negative", "negative", "positive"])}
    model = save_classifier(tmp_path, id2label=dict(enumerate(stars)))
    engine = load_engine(str(model), dtype="float32", labels=stars)
    (explanation,) = explanations(engine, TEXT)
    answer = engine.classify([engine.model_text(TEXT)])[0]
    assert isinstance(answer, Answer)
    assert explanation.score == pytest.approx(
        engine.tag_groups.scores(answer)["sentiment"][explanation.label], abs=1e-4
    )
    assert explanation.completeness_error < 0.01


def test_a_text_without_words_has_no_words_to_explain(engine: Engine) -> None:
    assert [explanation.words for explanation in explanations(engine, "")] == [[], []]


def test_half_precision_is_refused_because_its_gradients_do_not_add_up(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="MODEL_DTYPE=float32"):
        explanations(load_engine(str(save_classifier(tmp_path)), device="cpu", dtype="bfloat16"), TEXT)


def test_without_the_extra_one_sentence_gives_the_command(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "captum", raising=False)
    monkeypatch.setattr("consumer.model.explain.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r'pip install "comment-moderation-stream\[explain\]"'):
        explanations(engine, TEXT)
