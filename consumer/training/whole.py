"""Directories that appear whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumer.training.errors import TrainingError


@contextmanager
def whole_or_nothing(output: Path) -> Iterator[Path]:
    """Yield an empty directory beside `output` that becomes `output` at the end, or vanishes on an error."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise TrainingError(f"{output} cannot be written: {error.strerror}; choose another output directory") from error
    try:
        yield partial
        for file in partial.iterdir():
            file.chmod(0o644)  # safetensors writes for its owner only; another user may serve the model
        partial.chmod(0o755)
        partial.rename(output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
