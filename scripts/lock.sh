#!/usr/bin/env bash
# Writes requirements/: every package that this checkout's scripts install, with the hashes of its
# files, for every Python and machine that the project works with. Needs uv 0.13.9 (pip install uv==0.13.9).
#
# PyTorch is left out: its builds differ by index, and `dev` takes the one that the index offers.
set -euo pipefail
cd "$(dirname "$0")/.."

out=requirements
mkdir -p "$out"
lock() {
    local name=$1
    shift
    uv pip compile --quiet --no-emit-package torch --universal --generate-hashes --no-annotate --python-version 3.11 \
        --custom-compile-command scripts/lock.sh "$@" --output-file "$out/$name.txt"
}
without_torch=$(mktemp)
trap 'rm -f "$without_torch"' EXIT
echo "torch ; sys_platform == 'none'" >"$without_torch"

lock dev --extra dev --override "$without_torch" pyproject.toml
# The others take the versions of `dev`, so that two of them can be installed together.
lock onnx --extra onnx --constraints "$out/dev.txt" pyproject.toml
echo hatchling | lock build --constraints "$out/dev.txt" -
# Apart from the project's own packages, which these would not suit.
printf 'azure-ai-ml==1.35.2\nkubernetes-validate==1.37.0\n' | lock validators -
echo pip-audit | lock audit -
