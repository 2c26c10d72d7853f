#!/usr/bin/env bash
# Write the lock files anew: every package of the images, with the hashes of all of its files.
#
#   deploy/locks/renew.sh                            # after a change of pyproject.toml; keeps the versions that still fit
#   deploy/locks/renew.sh --upgrade                  # the newest versions that fit (or --upgrade-package NAME)
#   TORCH='--find-links DIR' deploy/locks/renew.sh   # where PyTorch's index is out of reach: DIR holds the CPU build
#
# Needs uv (pip install uv), which resolves for the images' Python and platform wherever it runs. The result is the same for
# aarch64: no package here depends on others there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v uv >/dev/null || { echo "uv was not found: pip install uv" >&2; exit 1; }

lock() { # OUTPUT, INPUT, options
  uv pip compile --quiet --generate-hashes --only-binary :all: --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --custom-compile-command deploy/locks/renew.sh --output-file "deploy/locks/$1" "${@:2}"
}
# Tracing is an extra, but nobody can add it to an image that has no pip. OpenVINO is for CPUs.
packages=(pyproject.toml --extra otel --excludes deploy/locks/excluded.txt)
# shellcheck disable=SC2086
lock cpu.txt "${packages[@]}" --extra openvino ${TORCH:---torch-backend cpu} "$@"
lock cuda.txt "${packages[@]}" "$@"
python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
  | lock build.txt - "$@"
