# What the scripts that build images share; sourced by them, with BASE as their caller has set it.

base_image=tritongen-base:trixie

say() { echo "$(basename "$0" .sh): $*" >&2; }

# The image to build on: BASE, else one made from Debian's packages, else Debian's own.
choose_base() {
    if [ -n "${BASE:-}" ]; then
        echo "$BASE"
    elif command -v mmdebstrap >/dev/null; then
        echo "$base_image"
    else
        echo debian:trixie-slim
    fi
}

# Debian 13 with nothing on it, for machines without a registry; made where it is what was chosen.
make_base() {
    if [ "$1" != "$base_image" ] || docker image inspect "$base_image" >/dev/null 2>&1; then
        return
    fi
    local work
    work=$(mktemp -d)
    say "making $base_image from Debian's packages"
    mmdebstrap --quiet --variant=minbase \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        trixie "$work/base.tar" >&2
    docker import --change 'CMD ["bash"]' "$work/base.tar" "$base_image" >/dev/null
    rm -rf "$work"
}

# What follows from every file of a folder, and from further words.
content_of() {
    local folder=$1
    shift
    {
        echo "$@"
        (cd "$folder" && find . -type f | LC_ALL=C sort | xargs sha256sum)
    } | sha256sum | cut -c 1-16
}

# What pip needs to reach its index from here: never part of an image.
lay_trust() {
    mkdir -p "$1/trust"
    cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$1/trust/authorities.pem"
    {
        echo '[global]'
        python3 -m pip config list 2>/dev/null |
            sed -nE "s/^(:env:|global)\.(index-url|extra-index-url|trusted-host|proxy|timeout)='(.*)'/\2 = \3/p"
    } >"$1/trust/pip.conf"
}

# Builds REPOSITORY:CONTENT on BASE from the context, unless it is here already, and prints its name.
# One build of a repository at a time. What follows the four goes to `docker build`.
build_image() {
    local repository=$1 content=$2 base=$3 context=$4 image=$1:$2
    shift 4
    exec 9>"${TMPDIR:-/tmp}/$repository-image-$(id -u).lock"
    flock 9
    if ! docker image inspect "$image" >/dev/null 2>&1; then
        make_base "$base"
        lay_trust "$context"
        say "building $image on $base"
        docker build --quiet --force-rm --network host --build-arg "BASE=$base" \
            --build-arg "CONTENT=$content" "$@" --tag "$image" "$context" >&2
        docker tag "$image" "$repository:latest"
    fi
    echo "$image"
}
