#!/usr/bin/env bash
# Makes sure that a Docker Engine answers: uses the running one, else installs Debian's packages and
# starts dockerd. A machine where that is impossible fails here, with what to do.
set -euo pipefail

answers() { docker info >/dev/null 2>&1; }

if command -v docker >/dev/null && answers; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "docker-engine: no Docker Engine answers; start it, or run this once as root" >&2
    exit 1
fi
if ! command -v dockerd >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "docker-engine: install the Docker Engine by your system's package manager" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends docker.io docker-cli docker-compose iptables \
        mmdebstrap prometheus >/dev/null
fi
log=${TMPDIR:-/tmp}/tritongen-dockerd.log
setsid dockerd >"$log" 2>&1 </dev/null &
for _ in $(seq 60); do
    answers && exit 0
    sleep 1
done
echo "docker-engine: dockerd did not come up; the end of $log:" >&2
tail -n 20 "$log" >&2
exit 1
