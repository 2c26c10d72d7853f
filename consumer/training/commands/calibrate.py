"""`moderate train calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from consumer.terminal.printing import say, tell
from consumer.training.commands.common import err_console, need_extra, next_step, progress_bar, quoted, readable_errors
from consumer.training.errors import TrainingError


def calibrate(
    model: Annotated[Path, typer.Argument(help="A model directory; its calibration.json is written or replaced.")],
    data: Annotated[Path, typer.Option(help="Labelled comments the model was not trained on, like those of the site.")],
    reject_precision: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="Share of toxic comments among the rejected to aim for.")
    ] = 0.97,
) -> None:
    """Make scores mean probabilities, and recommend thresholds for review and reject.

    Example: moderate train calibrate runs/model --data prepared/dev.jsonl.gz
    """
    with readable_errors():
        need_extra()
        from consumer.model import load_engine
        from consumer.training.calibrate import calibrate as find
        from consumer.training.calibrate import write_calibration
        from consumer.training.data import read_rows
        from consumer.training.predict import predictions

        if not model.is_dir():
            raise TrainingError(f"{model} is not a directory; calibrate what `moderate train fit` wrote")
        rows = read_rows(data, say)
        engine = load_engine(str(model), raw=True)
        with progress_bar("calibrate", len(rows)) as advance:
            predicted = predictions(engine, rows, advance)
        calibrated = find(engine.tag_groups, predicted, reject_precision)
        written = write_calibration(model, calibrated.calibration)
        for group, (before, after) in calibrated.errors.items():
            temperature = written.temperatures[group]
            tell(f"{group}: temperature {temperature:.2f}, calibration error {before:.3f} → {after:.3f}")
        for action, thresholds in (
            ("review", calibrated.calibration.review),
            ("reject", calibrated.calibration.reject),
        ):
            for name, score in thresholds.items():
                tell(f"{action} {name} at or above {score}")
        err_console().print(f"wrote {model / 'calibration.json'}")
        next_step(f"moderate train evaluate {quoted(model)} --data TEST --report {quoted(str(model) + '-report')}")
