"""Measures how fast this is, how close to the limits of the machine, and how far ahead of others.

python -m tests.benchmarks [--peers] [--quick] [--output DIR] [SECTION ...]
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console

from tests.benchmarks import engines, gpu, growth, latencies, service, streams
from tests.benchmarks.exported import exported
from tests.benchmarks.plot import draw
from tests.benchmarks.sampling import Figure, Run
from tests.benchmarks.table import table
from tests.chaos.scenario import stop_on_sigterm

SECTIONS: Mapping[str, Callable[[Run], list[Figure]]] = {
    "engine": engines.run,
    "stream": streams.run,
    "service": service.run,
    "latency": latencies.run,
    "growth": growth.run,
    "gpu": gpu.run,
}
WITHOUT_GPU = tuple(name for name in SECTIONS if name != "gpu")
QUICK_SECTIONS = tuple(name for name in WITHOUT_GPU if name != "growth")
"""What fits into about ten minutes."""
OUTPUT = Path("runs/benchmarks")


def main() -> int:
    """Run the sections, print their tables as they come, write results.json and plots; 1 when a section failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; else all but gpu")
    parser.add_argument(
        "--peers", action="store_true", help="measure other libraries too, in environments of their own"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and texts, shorter windows, and no growth unless it is named"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where results.json and the plots go")
    options = parser.parse_args()
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"there is no section {', '.join(sorted(unknown))}: there are {', '.join(SECTIONS)}")
    stop_on_sigterm()  # no contender outlives the run
    told = Run(peers=options.peers, quick=options.quick, model=exported())
    names = options.sections or (QUICK_SECTIONS if options.quick else WITHOUT_GPU)
    found, failed = _measure(names, told)
    _write(options.output, found, told)
    return 1 if failed else 0


def _measure(names: Sequence[str], told: Run) -> tuple[dict[str, list[Figure]], bool]:
    """What each section found. One that fails is said on stderr and costs the others nothing."""
    console = Console(width=None if sys.stdout.isatty() else 180)
    found: dict[str, list[Figure]] = {}
    for name in names:
        began_s = time.monotonic()
        try:
            found[name] = SECTIONS[name](told)
        except Exception as error:  # whatever it was: hours of the other sections must not be lost
            sys.stderr.write(f"The section {name} failed: {type(error).__name__}: {error}\n")
            continue
        console.print(table(f"{name} ({time.monotonic() - began_s:.0f} s)", found[name]))
    return found, len(found) < len(names)


def _write(directory: Path, found: Mapping[str, Sequence[Figure]], told: Run) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    sections = {name: [figure.as_json() for figure in figures] for name, figures in found.items()}
    results = {"machine": _machine(), "rounds": told.rounds, "sections": sections}
    path = directory / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    pictures = [picture for figures in found.values() for picture in draw(figures, directory)]
    sys.stdout.write("".join(f"{written}\n" for written in [path, *pictures]))


def _machine() -> dict[str, Any]:
    """What figures cannot be compared without."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _processor() -> str:
    """Its name, where the system says it."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
