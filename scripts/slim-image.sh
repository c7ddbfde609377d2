#!/usr/bin/env bash
# Builds the slim CPU image of Triton (compose/slim), unless an image with the same content is here
# already, and prints its name.
#
#   scripts/slim-image.sh                      BASE: an image made from Debian's packages
#   BASE=debian:trixie-slim scripts/slim-image.sh
#   PACKAGES='torch openvino' scripts/slim-image.sh    requirements of further backends
set -euo pipefail
cd "$(dirname "$0")/.."

repository=tritongen-slim
base_image=tritongen-base:trixie
packages=${PACKAGES:-}
base=${BASE:-}
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

say() { echo "slim-image: $*" >&2; }

# Debian 13 with nothing on it, for machines without a registry.
debian_base() {
    if docker image inspect "$base_image" >/dev/null 2>&1; then
        return
    fi
    say "making $base_image from Debian's packages"
    mmdebstrap --quiet --variant=minbase \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        trixie "$work/base.tar" >&2
    docker import --change 'CMD ["bash"]' "$work/base.tar" "$base_image" >/dev/null
}

if [ -z "$base" ]; then
    if command -v mmdebstrap >/dev/null; then
        base=$base_image
    else
        base=debian:trixie-slim
    fi
fi

# The build's context: what the image is made of, and nothing else.
context=$work/context
source=generator/tritongen
copy() { tar -c --exclude='__pycache__' -C generator "$@" | tar -x -C "$context/package"; }
constant() { sed -nE "s/^$1 = \"(.*)\"$/\1/p" "$source/serving/embedded/fetch.py"; }
mkdir -p "$context/package" "$context/trust"
cp compose/slim/{Dockerfile,requirements.txt,arrange.py} "$context"
echo "$(constant DISTRIBUTION)==$(constant DISTRIBUTION_VERSION) --hash=sha256:$(constant SHA256)" \
    >"$context/triton.txt"
copy tritongen/model/own_backends.py tritongen/serving/backends tritongen/serving/embedded/fetch.py \
    tritongen/serving/embedded/layout.py tritongen/serving/embedded/stub_numpy2.py

# What the image holds follows from these files.
content=$(
    {
        echo "$base $packages"
        (cd "$context" && find . -type f | LC_ALL=C sort | xargs sha256sum)
    } | sha256sum | cut -c 1-16
)
# What they import only tells of faults, and makes no image stale.
copy tritongen/__init__.py tritongen/errors tritongen/model/__init__.py \
    tritongen/model/progress.py tritongen/serving/__init__.py \
    tritongen/serving/embedded/__init__.py tritongen/system/__init__.py tritongen/system/files.py \
    tritongen/system/own_files.py tritongen/system/processes.py \
    tritongen/system/process_files.py tritongen/system/user_cache.py
image=$repository:$content

exec 9>"${TMPDIR:-/tmp}/tritongen-slim-$(id -u).lock"
flock 9
if docker image inspect "$image" >/dev/null 2>&1; then
    echo "$image"
    exit 0
fi
[ "$base" = "$base_image" ] && debian_base

# What pip needs to reach its index from here: never part of the image.
cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$context/trust/authorities.pem"
{
    echo '[global]'
    python3 -m pip config list 2>/dev/null |
        sed -nE "s/^(:env:|global)\.(index-url|extra-index-url|trusted-host|proxy|timeout)='(.*)'/\2 = \3/p"
} >"$context/trust/pip.conf"

say "building $image on $base"
docker build --quiet --force-rm --network host --build-arg "BASE=$base" --build-arg "PACKAGES=$packages" \
    --build-arg "CONTENT=$content" --build-arg "BACKENDS=$backends" --tag "$image" "$context" >&2
docker tag "$image" "$repository:latest"
echo "$image"
