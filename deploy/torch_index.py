"""Print the pip option that makes torch come as its CPU build, or nothing; say on stderr what torch comes as.

    pip install $(python deploy/torch_index.py URL) .

URL is PyTorch's index of CPU builds (hundreds of megabytes); pip's default index has the CUDA build (gigabytes).
The option is left out when URL is empty, when this machine has an NVIDIA GPU, or when the index does not answer,
so that a mirror or a package folder configured in pip still works.
Runs before anything is installed, hence the standard library only.
"""

import shutil
import sys
import urllib.request

ANSWER_TIMEOUT_S = 5


def pip_option(index_url: str) -> tuple[str, str]:
    """Return the option for pip (may be empty) and one sentence that says why."""
    if not index_url:
        return "", "torch comes from pip's default index (no CPU index was named)."
    if shutil.which("nvidia-smi"):
        return "", "torch comes from pip's default index: this machine has an NVIDIA GPU. The CUDA build is gigabytes."
    if not index_url.startswith(("https://", "http://")):
        raise SystemExit(f"TORCH_INDEX must be an http(s) address or empty, not {index_url!r}.")
    try:
        with urllib.request.urlopen(f"{index_url.rstrip('/')}/torch/", timeout=ANSWER_TIMEOUT_S):  # noqa: S310
            return f"--extra-index-url={index_url}", f"torch comes as its CPU build (about 200 MB) from {index_url}."
    except OSError as error:
        return "", f"torch comes from pip's default index and may be gigabytes: {index_url} did not answer ({error})."


if __name__ == "__main__":
    option, why = pip_option(sys.argv[1])
    sys.stderr.write(f"{why}\n")
    sys.stdout.write(f"{option}\n")
