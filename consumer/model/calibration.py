"""What a model was found to need on held-out comments: a temperature per tag group, and thresholds for the policy."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consumer.model.errors import ModelError
from consumer.model.labels import TagGroups

FILE_NAME = "calibration.json"

Temperature = Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)]
Offset = Annotated[float, Field(ge=-20.0, le=20.0, allow_inf_nan=False)]
Threshold = Annotated[float, Field(ge=0.0, le=1.0)]


class Calibration(BaseModel):
    """The content of `calibration.json` in a model directory; written by `moderate train calibrate`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperatures: dict[str, Temperature] = Field(
        default={}, description="Per tag group: its logits are divided by it, so that scores mean probabilities."
    )
    offsets: dict[str, Offset] = Field(
        default={}, description="Per tag group of a single logit: added to it after the division."
    )
    review: dict[str, Threshold] = Field(
        default={},
        description='Per "group.label": the score from which a person should look; unless POLICY_REVIEW is set.',
    )
    reject: dict[str, Threshold] = Field(
        default={}, description='Per "group.label": the score from which to reject; unless POLICY_REJECT is set.'
    )


def read_calibration(directory: Path, groups: TagGroups) -> Calibration:
    """Return the calibration of the model in `directory`; one that changes nothing where there is none.

    Raises ModelError for a file that is not a calibration of these tag groups.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return Calibration()
    try:
        calibration = Calibration.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"{path} is not a calibration; remove it or write it again with: moderate train calibrate"
        ) from error
    labels = {f"{group}.{label}" for group, names in groups.label_names().items() for label in names}
    single = {group.name for group in groups.groups if len(group.columns) == 1}
    named = (calibration.temperatures.keys() - groups.label_names().keys()) | (calibration.offsets.keys() - single)
    named |= (calibration.review.keys() | calibration.reject.keys()) - labels
    if named:
        raise ModelError(
            f"{path} names {', '.join(sorted(named))}, which does not fit the model; "
            "write it again with: moderate train calibrate"
        )
    return calibration
