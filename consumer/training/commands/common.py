"""What the commands of `moderate train` share: the extra they need, and errors as one sentence."""

import shlex
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from consumer.terminal import errors as terminal
from consumer.terminal.printing import SafeConsole
from consumer.terminal.text import printable
from consumer.training.errors import TrainingError


def readable_errors() -> AbstractContextManager[None]:
    """Errors as one sentence and exit status 2: 1 is `evaluate --gate` saying that a model is worse."""
    return terminal.readable_errors(failed=terminal.EXIT_USAGE)


def need_extra() -> None:
    """Raise TrainingError unless the packages of the extra `train` are installed."""
    if any(find_spec(name) is None for name in ("accelerate", "sklearn", "scipy", "matplotlib", "jinja2")):
        raise TrainingError('training needs more packages; run: pip install "comment-moderation-stream[train]"')


def quiet_libraries() -> None:
    """Keep libraries' notes to programmers, and their own reports of loading, off a person's screen."""
    import transformers

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    warnings.filterwarnings("ignore", message="Could not find a config file")
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def err_console() -> Console:
    """Return a console for progress and advice, on standard error: standard output is for results."""
    return SafeConsole(stderr=True, soft_wrap=True)


def quoted(path: object) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def next_step(command: str) -> None:
    """Say what to do next; `command` has its paths quoted for a shell (`quoted`)."""
    err_console().print(f"next: {printable(command)}")


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error; what it yields takes the number of rows just done."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err_console(), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)
