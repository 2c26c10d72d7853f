import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import EvalPrediction

from consumer.training.data import Row
from consumer.training.errors import TrainingError
from consumer.training.targets import UNLABELLED, dev_metrics, encode, masked_loss, targets_of

ROWS = [
    *[Row("a", {"sentiment": label}, "") for label in ("negative", "neutral", "positive", "positive")],
    *[Row("b", {"toxicity": label}, "") for label in ("clean", "toxic", "toxic", "toxic")],
]


def test_a_row_is_encoded_with_what_it_lacks_left_open() -> None:
    targets = targets_of(ROWS, class_weights=False)
    assert [encode(row, targets) for row in ROWS[3:5]] == [[0, 0, 1, UNLABELLED], [*[UNLABELLED] * 3, 0]]


def test_a_teacher_gives_the_labels_that_a_row_lacks_and_no_others() -> None:
    targets = targets_of(ROWS, class_weights=False)
    scores = {"sentiment": {"negative": 0.7, "neutral": 0.2, "positive": 0.1}, "toxicity": {"clean": 0.4, "toxic": 0.6}}
    assert [encode(row, targets, scores) for row in ROWS[3:5]] == [[0, 0, 1, 0.6], [0.7, 0.2, 0.1, 0]]
    assert encode(ROWS[3], targets, {}) == encode(ROWS[3], targets)  # the teacher could not answer


def test_a_soft_label_is_learned_as_the_mixture_it_is() -> None:
    targets = targets_of(ROWS, class_weights=False)
    wanted = torch.tensor([[0.7, 0.2, 0.1, 0.6]])
    perfect = torch.cat([wanted[:, :3].log(), torch.logit(wanted[:, 3:])], dim=1).requires_grad_()
    masked_loss(perfect, wanted, targets).backward()  # type: ignore[no-untyped-call]
    assert perfect.grad is not None
    assert perfect.grad.abs().max() < 1e-6


def test_a_model_that_is_continued_keeps_a_group_the_new_rows_do_not_label() -> None:
    targets = targets_of(ROWS[:4], class_weights=True, groups=["sentiment", "toxicity"])
    assert [(target.group, target.columns) for target in targets] == [
        ("sentiment", slice(0, 3)),
        ("toxicity", slice(3, 4)),
    ]


def test_a_group_without_any_label_gets_no_logit() -> None:
    targets = targets_of(ROWS[4:], class_weights=False)
    assert [(target.group, target.columns) for target in targets] == [("toxicity", slice(0, 1))]


def test_rows_of_one_label_only_are_refused() -> None:
    with pytest.raises(TrainingError, match='every toxicity label of the training rows is "toxic"'):
        targets_of(ROWS[5:], class_weights=False)


def test_the_loss_is_the_mean_over_the_labels_that_are_there() -> None:
    targets = targets_of(ROWS, class_weights=False)
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    u = UNLABELLED
    labels = torch.tensor([[0, 0, 1, u], [u, u, u, 1], [1, 0, 0, 0]])
    sentiment = functional.cross_entropy(logits[[0, 2], :3], torch.tensor([2, 0]), reduction="sum")
    toxicity = functional.binary_cross_entropy_with_logits(logits[[1, 2], 3], torch.tensor([1.0, 0.0]), reduction="sum")
    assert masked_loss(logits, labels, targets).item() == pytest.approx(((sentiment + toxicity) / 4).item())


def test_a_missing_label_moves_no_logit() -> None:
    targets = targets_of(ROWS, class_weights=False)
    logits = torch.zeros(1, 4, requires_grad=True)
    masked_loss(logits, torch.tensor([[0, 0, 1, UNLABELLED]]), targets).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0, 3] == 0
    assert logits.grad[0, 2] < 0


def test_a_batch_without_any_label_costs_nothing() -> None:
    targets = targets_of(ROWS, class_weights=False)
    assert masked_loss(torch.randn(1, 4), torch.full((1, 4), UNLABELLED), targets).item() == 0


def test_class_weights_give_every_label_of_a_group_the_same_sum() -> None:
    toxicity = targets_of(ROWS, class_weights=True)[1]
    clean, toxic = toxicity.weights
    assert clean * 1 == pytest.approx(toxic * 3)


def test_dev_metrics_count_labelled_rows_only() -> None:
    targets = targets_of(ROWS, class_weights=False)
    logits = np.array([[0.0, 1.0, 0.0, -1.0], [1.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    u = UNLABELLED
    labels = np.array([[0, 1, 0, u], [1, 0, 0, u], [u, u, u, 1], [u, u, u, 0]])
    metrics = dev_metrics(EvalPrediction(predictions=logits, label_ids=labels), targets, [""] * 4)
    assert metrics["sentiment_macro_f1"] == 1.0
    assert metrics["toxicity_macro_f1"] == pytest.approx(1 / 3)
    assert metrics["macro_f1"] == pytest.approx(2 / 3)


def test_every_source_counts_the_same_on_dev_however_many_rows_it_has() -> None:
    targets = targets_of(ROWS[4:], class_weights=False)
    logits, labels = np.array([[1.0], [-1.0], [1.0], [1.0], [1.0]]), np.array([[1.0], [0.0], [0.0], [0.0], [0.0]])
    metrics = dev_metrics(EvalPrediction(predictions=logits, label_ids=labels), targets, ["a", "a", "b", "b", "b"])
    assert metrics["macro_f1"] == 0.5
