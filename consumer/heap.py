"""How this process's memory is divided between threads, and searched for what nobody needs any more."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

MOST_ARENAS = 2
"""By default glibc keeps up to eight for each core, so that threads need not wait for each other, and what a thread
gave back stays in its own. Measured on two cores: a member of the bundled model took 67 MB less, and was no slower."""
_M_ARENA_MAX = -8  # of glibc's malloc.h

COLLECT_AFTER_OBJECTS, COLLECT_ALL_AFTER = 10_000, 20
"""When Python looks for reference cycles (its own are 700 and 10). A comment leaves none behind, and each search walks
the batches in flight and the answers in memory: 5 µs a comment."""


def share_arenas() -> None:
    """Let threads share few arenas from now on; does nothing where the C library has no arenas."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, MOST_ARENAS)


@contextmanager
def resting_collector() -> Iterator[None]:
    """Meanwhile, look for reference cycles less often, and not at all in what was made before: the model, the modules.

    Afterwards these are looked through again. The parts of a pipeline hold each other, and Kafka's clients with them:
    where they were never found, their threads outlived the interpreter, and now and then one of them met the end of
    librdkafka's OpenSSL, which is a segmentation fault after all work was done.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, COLLECT_ALL_AFTER, COLLECT_ALL_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
