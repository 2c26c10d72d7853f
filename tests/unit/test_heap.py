"""Memory of many threads comes from few arenas, and what is let go is found."""

import gc
import platform
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from consumer.heap import COLLECT_AFTER_OBJECTS, MOST_ARENAS, resting_collector

ARENAS_OF_MANY_THREADS = """
import ctypes, sys, threading
from consumer.heap import share_arenas
if sys.argv[1] == "shared":
    share_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
allocated = threading.Barrier(17)
def allocate():
    libc.malloc(5_000)
    allocated.wait()
for _ in range(16):
    threading.Thread(target=allocate).start()
allocated.wait()
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def arenas(how: str, report: Path) -> int:
    subprocess.run([sys.executable, "-c", ARENAS_OF_MANY_THREADS, how, str(report)], check=True, timeout=60)
    return report.read_text().count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")
def test_many_threads_share_few_arenas_where_each_had_its_own(tmp_path: Path) -> None:
    assert arenas("as it is", tmp_path / "before.xml") > MOST_ARENAS
    assert arenas("shared", tmp_path / "after.xml") == MOST_ARENAS


class Knot:
    """Holds itself, as the parts of a pipeline hold each other."""

    def __init__(self) -> None:
        self.itself = self


def test_the_collector_rests_from_what_was_made_before_and_finds_it_afterwards() -> None:
    knot, before = Knot(), gc.get_threshold()
    seen = weakref.ref(knot)
    with resting_collector():
        del knot
        gc.collect()
        assert seen() is not None, "it is not looked through"
        assert gc.get_threshold()[0] == COLLECT_AFTER_OBJECTS
    gc.collect()
    assert seen() is None
    assert gc.get_threshold() == before


def test_what_only_http_needs_is_not_loaded_by_a_member_without_it() -> None:
    code = "import sys, consumer.app; print({'fastapi', 'starlette', 'uvicorn'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "set()\n"
