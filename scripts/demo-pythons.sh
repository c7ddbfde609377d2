#!/usr/bin/env bash
# `make demo` with one Python of each version that the project supports and this machine has, or with
# the ones that are named, each in a fresh clone of the last commit. The system's go before pyenv's.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

found() { # prints the first Python of each version that starts
    local folder python version known=" "
    local -a folders
    IFS=: read -r -a folders <<<"/usr/bin:/usr/local/bin:$PATH"
    for folder in "${folders[@]}" ~/.pyenv/versions/3.*/bin; do
        for python in "$folder"/python3.[1-9][0-9]; do
            version=${python##*/}
            if [[ $known != *" $version "* ]] && "$python" -c '' 2>/dev/null; then
                known+="$version "
                if "$python" scripts/environment.py >/dev/null 2>&1; then
                    echo "$python"
                fi
            fi
        done
    done
}

if [ $# -gt 0 ]; then
    pythons=("$@")
else
    mapfile -t pythons < <(found)
fi
if [ ${#pythons[@]} -eq 0 ]; then
    echo "demo-pythons: no Python here runs the demo; $(python3 scripts/environment.py 2>&1)" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for python in "${pythons[@]}"; do
    began=$SECONDS
    git clone --quiet . "$work/clone"
    if ! make -C "$work/clone" demo PYTHON="$python" >"$work/log" 2>&1; then
        cat "$work/log"
        echo "demo-pythons: the demo fails with $python" >&2
        exit 1
    fi
    changed=$(git -C "$work/clone" status --porcelain)
    if [ -n "$changed" ]; then
        echo "demo-pythons: with $python the demo changes what is committed:" "$changed" >&2
        exit 1
    fi
    echo "demo with $python ($("$python" --version)): passed, $((SECONDS - began)) s"
    rm -rf "$work/clone"
done
