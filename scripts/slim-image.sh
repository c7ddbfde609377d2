#!/usr/bin/env bash
# Builds the slim CPU image of Triton (compose/slim), unless an image with the same content is here
# already, and prints its name.
#
#   scripts/slim-image.sh                      BASE: an image made from Debian's packages
#   BASE=debian:trixie-slim scripts/slim-image.sh
#   PACKAGES='torch openvino' scripts/slim-image.sh    requirements of further backends
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/image-parts.sh

packages=${PACKAGES:-}
base=$(choose_base)
backends='onnxruntime python'
for package in $packages; do
    case $package in
        torch*) backends+=' pytorch' ;;
        openvino*) backends+=' openvino' ;;
        treelite*) backends+=' fil' ;;
    esac
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The build's context: what the image is made of, and nothing else.
context=$work/context
source=generator/tritongen
copy() { tar -c --exclude='__pycache__' -C generator "$@" | tar -x -C "$context/package"; }
constant() { sed -nE "s/^$1 = \"(.*)\"$/\1/p" "$source/serving/embedded/fetch.py"; }
mkdir -p "$context/package"
cp compose/slim/{Dockerfile,requirements.txt,arrange.py} "$context"
echo "$(constant DISTRIBUTION)==$(constant DISTRIBUTION_VERSION) --hash=sha256:$(constant SHA256)" \
    >"$context/triton.txt"
copy tritongen/model/own_backends.py tritongen/serving/backends tritongen/serving/embedded/fetch.py \
    tritongen/serving/embedded/layout.py tritongen/serving/embedded/stub_numpy2.py

# What the image holds follows from these files.
content=$(content_of "$context" "$base $packages")
# What they import only tells of faults, and makes no image stale.
copy tritongen/__init__.py tritongen/errors tritongen/model/__init__.py \
    tritongen/model/progress.py tritongen/serving/__init__.py \
    tritongen/serving/embedded/__init__.py tritongen/system/__init__.py tritongen/system/files.py \
    tritongen/system/own_files.py tritongen/system/processes.py tritongen/system/pip_download.py \
    tritongen/system/process_files.py tritongen/system/user_cache.py

build_image tritongen-slim "$content" "$base" "$context" \
    --build-arg "PACKAGES=$packages" --build-arg "BACKENDS=$backends"
