"""`make` installs once, tries again after a failure, and says in a sentence what is missing."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Stands for python3: makes a .venv whose pip only writes down how it was called, and fails when FAIL is there.
FAKE_PYTHON = f"""#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p .venv/bin
  printf '#!/bin/sh\\necho "$@" >>pip-calls\\ntest ! -e FAIL\\n' >.venv/bin/pip
  printf '#!/bin/sh\\nexec {sys.executable} "$@"\\n' >.venv/bin/python
  chmod +x .venv/bin/pip .venv/bin/python
fi
"""
OLD_PYTHON = """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.9.2" && exit 0
exit 1
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what `make install` reads, and a fake python3."""
    (tmp_path / "deploy").mkdir()
    for name in ("Makefile", "pyproject.toml", "deploy/torch_index.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "python").write_text(FAKE_PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


@pytest.fixture
def index_url() -> Iterator[str]:
    """A package index that knows torch."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/whl/cpu"
        server.shutdown()


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Not this process's environment: under `make test` it holds the outer make's flags.
    environment = {"PATH": os.environ["PATH"], "PYTHON": "./python", "TORCH_INDEX": ""}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def torch_index(url: str, path: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "deploy/torch_index.py")
    return subprocess.run([sys.executable, script, url], env={"PATH": path}, capture_output=True, text=True, timeout=60)


def test_a_second_run_installs_nothing(clone: Path) -> None:
    assert make(clone, "install").returncode == 0
    assert make(clone, "install").returncode == 0
    assert (clone / "pip-calls").read_text() == "install --disable-pip-version-check --editable .[dev]\n"


def test_changed_dependencies_are_installed(clone: Path) -> None:
    make(clone, "install")
    os.utime(clone / ".venv/.installed", (0, 0))
    make(clone, "install")
    assert len((clone / "pip-calls").read_text().splitlines()) == 2


def test_a_failed_install_is_tried_again(clone: Path) -> None:
    (clone / "FAIL").touch()
    assert make(clone, "install").returncode != 0
    (clone / "FAIL").unlink()
    assert make(clone, "install").returncode == 0
    assert len((clone / "pip-calls").read_text().splitlines()) == 2


def test_an_old_python_is_named_with_what_to_do(clone: Path) -> None:
    (clone / "python").write_text(OLD_PYTHON)
    result = make(clone, "demo")
    assert result.returncode != 0
    assert "Python 3.11 or later is needed, and ./python is Python 3.9.2" in result.stdout
    assert not (clone / ".venv").exists()


def test_a_missing_python_is_named_with_what_to_do(clone: Path) -> None:
    (clone / "python").unlink()
    result = make(clone, "demo")
    assert result.returncode != 0
    assert "./python was not found: install Python 3.11 or later" in result.stdout


def test_a_persons_own_file_reaches_the_demo_even_with_a_space_in_its_name(clone: Path) -> None:
    make(clone, "install")
    (clone / ".venv/bin/moderate").write_text('#!/bin/sh\nfor argument; do echo "[$argument]"; done\n')
    (clone / ".venv/bin/moderate").chmod(0o755)
    result = make(clone, "demo", "INPUT=my comments.jsonl", "OUTPUT=tagged.jsonl")
    assert result.stdout.split("\n") == [
        "[demo]",
        "[--input]",
        "[my comments.jsonl]",
        "[--output]",
        "[tagged.jsonl]",
        "",
    ]


def test_without_a_target_make_lists_every_target(clone: Path) -> None:
    listed = {line.split()[1] for line in make(clone).stdout.splitlines()}
    assert {"demo", "test", "lint", "train", "clean", "help"} <= listed


def test_the_cpu_build_is_taken_where_its_index_answers(index_url: str, tmp_path: Path) -> None:
    assert torch_index(index_url, str(tmp_path)).stdout == f"--extra-index-url={index_url}\n"


def test_a_machine_with_an_nvidia_gpu_takes_the_default_build(index_url: str, tmp_path: Path) -> None:
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    assert torch_index(index_url, str(tmp_path)).stdout == "\n"


def test_an_index_that_refuses_or_knows_no_torch_is_passed_over(index_url: str, tmp_path: Path) -> None:
    for url in (f"{index_url}/elsewhere", "http://127.0.0.1:9/whl/cpu"):
        result = torch_index(url, str(tmp_path))
        assert (result.returncode, result.stdout) == (0, "\n")
        assert f"{url} did not answer" in result.stderr


def test_an_index_that_hangs_is_passed_over_within_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = torch_index(f"http://127.0.0.1:{silent.getsockname()[1]}", str(tmp_path))
    assert (result.returncode, result.stdout) == (0, "\n")
    assert "did not answer" in result.stderr


def test_no_index_means_the_default_index(tmp_path: Path) -> None:
    assert torch_index("", str(tmp_path)).stdout == "\n"


def test_an_index_that_is_no_address_is_refused_in_a_sentence(tmp_path: Path) -> None:
    result = torch_index("/some/folder", str(tmp_path))
    assert result.returncode != 0
    assert "TORCH_INDEX must be an http(s) address or empty" in result.stderr
