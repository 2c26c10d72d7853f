"""How the C library divides the memory that it hands out."""

import ctypes

MOST_ARENAS = 2
"""By default glibc keeps up to eight for each core, so that threads need not wait for each other, and what a thread
gave back stays in its own. Measured on two cores: a member of the bundled model took 67 MB less, and was no slower."""
_M_ARENA_MAX = -8  # of glibc's malloc.h


def share_arenas() -> None:
    """Let threads share few arenas from now on; does nothing where the C library has no arenas."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, MOST_ARENAS)
