"""The model and the policy, ready to be used: loaded, warm, and fitted to each other."""

from collections.abc import Callable, Mapping, Sequence
from os.path import isdir
from typing import Protocol

import structlog

from consumer.answer import ModelPass
from consumer.jobs import SteppedEngine
from consumer.model.calibration import Calibration
from consumer.model.engine import Engine
from consumer.model.joint import JointEngine
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

    @property
    def languages(self) -> Mapping[str, Sequence[str]]:
        """By tag group, the languages that the model behind it declares; none where it declares none."""
        ...


def load_model(
    settings: Settings, on_pass: Callable[[ModelPass], None] = lambda _: None
) -> tuple[Engine | JointEngine, Policy]:
    """Load and warm the model, or the models, and fit the policy to their labels; `on_pass` is told of every forward
    pass.

    Raises `ModelError` when a model cannot be used, `SettingsError` when MODEL lacks a name, or MODEL_LABELS or the
    policy name what is not there.
    """
    models = _models(settings.model)
    engines = [
        load_engine(
            model,
            device=settings.model_device,
            dtype=settings.model_dtype,
            backend=settings.model_backend,
            max_batch_tokens=settings.max_batch_tokens,
            labels=labels,
            on_pass=on_pass,
        )
        for model, labels in labels_by_model(models, settings.model_labels).items()
    ]
    engine = engines[0] if len(engines) == 1 else _joint(engines)
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


def labels_by_model(
    models: Sequence[str], given: Mapping[str, str | Mapping[str, str]]
) -> dict[str, Mapping[str, str]]:
    """What MODEL_LABELS says of each model. Raises `SettingsError` where it does not say which one it means."""
    of_one = {model: labels for model, labels in given.items() if not isinstance(labels, str)}
    of_the_only = {label: name for label, name in given.items() if isinstance(name, str)}
    if unknown := sorted(of_one.keys() - set(models)):
        raise SettingsError(f"MODEL_LABELS has labels of {', '.join(unknown)}, but MODEL is {', '.join(models)}")
    if of_the_only and (of_one or len(models) > 1):
        raise SettingsError(
            f"MODEL_LABELS does not say which model has {', '.join(of_the_only)}; with several models write "
            f'{{"NAME": {{"{next(iter(of_the_only))}": "…"}}}}, NAME being {" or ".join(models)}'
        )
    return {model: of_one.get(model) or of_the_only for model in models}


def _joint(engines: Sequence[Engine]) -> JointEngine:
    engine = JointEngine(engines)
    log.info("models_answer_together", tag_groups=engine.models())
    return engine


def _models(setting: str) -> list[str]:
    """The models that the setting MODEL names, each once; a single directory may have commas in its name. Raises
    `SettingsError` where a name is missing."""
    is_directory = isdir(setting)  # noqa: PTH112 - Path.is_dir raises for several names that are too long for one
    names = [setting] if is_directory else [name.strip() for name in setting.split(",")]
    if not all(names):
        raise SettingsError(f'MODEL is "{setting}", where a name is missing; write one, or several with commas')
    return list(dict.fromkeys(names))


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
