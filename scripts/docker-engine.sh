#!/usr/bin/env bash
# Makes sure that a Docker Engine answers, and that the tests' other tools are here: uses the running
# engine, else installs Debian's packages and starts dockerd. A machine where that is impossible
# fails here, with what to do.
set -euo pipefail

answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }
# Prometheus and its checker read what `tritongen export` writes; nginx is a gateway before servers.
tools() {
    PATH=$PATH:/usr/sbin command -v nginx >/dev/null &&
        command -v prometheus >/dev/null && command -v promtool >/dev/null
}

install() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "docker-engine: install $* by your system's package manager, or run this as root" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

tools || install nginx prometheus
if answers; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "docker-engine: no Docker Engine answers; start it, or run this once as root" >&2
    exit 1
fi
if ! command -v dockerd >/dev/null; then
    install docker.io docker-cli docker-compose iptables mmdebstrap
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
