#!/usr/bin/env bash
# Builds the tool's own image (compose/tool) from this checkout, unless an image with the same content
# is here already, and prints its name.
#
#   scripts/tool-image.sh                             BASE: an image made from Debian's packages
#   BASE=debian:trixie-slim scripts/tool-image.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/image-parts.sh

base=$(choose_base)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The build's context: what the wheel is made of, what it needs, and nothing else.
context=$work/context
mkdir -p "$context/source"
cp compose/tool/Dockerfile requirements/{onnx,build}.txt "$context"
tar -c --exclude='__pycache__' --exclude='*.egg-info' generator templates compose scripts/project_urls.py \
    pyproject.toml README.md LICENSE | tar -x -C "$context/source"
content=$(content_of "$context" "$base" "${GITHUB_REPOSITORY:-}")

build_image tritongen "$content" "$base" "$context" \
    --build-arg "GITHUB_REPOSITORY=${GITHUB_REPOSITORY:-}"
