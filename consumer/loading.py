"""The model and the policy, ready to be used: loaded, warm, and fitted to each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from consumer.answer import ModelPass
from consumer.micro_batcher import SteppedEngine
from consumer.model.calibration import Calibration
from consumer.model.engine import Engine
from consumer.model.labels import TagGroups
from consumer.model.load import load_engine
from consumer.policy import Policy, PolicyError, never_reviewed
from consumer.settings import Settings
from consumer.settings_parsing import SettingsError
from consumer.verdict import Judge
from schemas import ModelInfo

log = structlog.get_logger()


class LoadedModel(SteppedEngine, Protocol):
    """A model that can be run, and what there is to know about it."""

    @property
    def name(self) -> str:
        """The model as it was configured."""
        ...

    @property
    def version(self) -> str:
        """Changes with anything that can change a tag."""
        ...

    @property
    def fingerprint(self) -> str:
        """The version and the number format: equal for members whose answers may stand in for each other."""
        ...

    @property
    def tag_groups(self) -> TagGroups:
        """What its scores mean."""
        ...


def load_model(settings: Settings, on_pass: Callable[[ModelPass], None] = lambda _: None) -> tuple[Engine, Policy]:
    """Load and warm the model, and fit the policy to its labels; `on_pass` is told of every forward pass.

    Raises `ModelError` when the model cannot be used, `SettingsError` when the policy names labels that it lacks.
    """
    engine = load_engine(
        settings.model,
        device=settings.model_device,
        dtype=settings.model_dtype,
        backend=settings.model_backend,
        max_batch_tokens=settings.max_batch_tokens,
        labels=settings.model_labels,
        on_pass=on_pass,
    )
    policy = make_policy(settings, engine.tag_groups.label_names(), engine.calibration)
    engine.warm_up()
    log.info(
        "model_ready",
        model=engine.name,
        version=engine.version,
        fingerprint=engine.fingerprint,
        backend=engine.backend,
        policy=policy.version,
    )
    return engine, policy


def make_judge(engine: LoadedModel, policy: Policy) -> Judge:
    """What says about a text what the model and the policy make of it."""
    model = ModelInfo(name=engine.name, version=engine.version)
    return Judge(tags_of=engine.tag_groups.tags, model=model, policy=policy)


def full_names(labels: Mapping[str, Sequence[str]]) -> set[str]:
    """The labels of a model as settings name them: "group.label"."""
    return {f"{group}.{label}" for group, names in labels.items() for label in names}


def make_policy(
    settings: Settings, labels: Mapping[str, Sequence[str]], calibration: Calibration | None = None
) -> Policy:
    """The policy over the labels of the loaded model.

    A threshold that somebody set must name a label of the model (`SettingsError`). Where nothing is set, what the model
    was calibrated to stands before our defaults, and a default yields where the model has no such label.
    """
    known = full_names(labels)

    def fitting(name: str, thresholds: dict[str, float], recommended: dict[str, float]) -> dict[str, float]:
        if name in settings.model_fields_set:
            return thresholds
        return {label: score for label, score in (thresholds | recommended).items() if label in known}

    recommended = calibration or Calibration()
    try:
        policy = Policy(
            review=fitting("policy_review", settings.policy_review, recommended.review),
            reject=fitting("policy_reject", settings.policy_reject, recommended.reject),
        )
        policy.check_against(labels)
        # The settings were checked by themselves; a calibrated threshold may stand beside one that somebody set.
        for problem in never_reviewed(policy.review, policy.reject):
            raise SettingsError(problem)
    except PolicyError as error:
        raise SettingsError(str(error)) from None
    return policy
