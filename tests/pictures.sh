#!/usr/bin/env bash
# Takes the pictures of docs/pictures anew: pages of a real Gitea, styled, in a real browser, while the README's road is
# driven by the test that drives it always.
#
#   tests/pictures.sh
#
# Needs what tests/gitea.sh left, `chromium`, and Node 22 or newer (PRENTICE_NODE names it, else the one of tests/probot.sh).
# The Gitea module has neither style sheets nor scripts: they are built from its own sources, once.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
cache=${PRENTICE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prentice-tests}
node=${PRENTICE_NODE:-$cache/probot/node}
pnpm=10.34.9

for tool in chromium npm go "$node"; do
    command -v "$tool" >/dev/null || { echo "no \`$tool\` here"; exit 1; }
done
cd "$here/gitea"
module=$(go list -m -f '{{.Dir}}' code.gitea.io/gitea)
static=$cache/gitea-styled/$(basename "$module")
if [ ! -d "$static" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && npm pack --silent "pnpm@$pnpm" >/dev/null && tar -xzf "pnpm-$pnpm.tgz")
    cp -R "$module" "$work/src"
    chmod -R u+w "$work/src"
    cd "$work/src"
    # It would fetch another pnpm.
    sed -i '/"packageManager":/d' package.json
    echo 'manage-package-manager-versions=false' >>.npmrc
    "$node" ../package/bin/pnpm.cjs install --frozen-lockfile --ignore-scripts
    "$node" node_modules/vite/bin/vite.js build
    mkdir -p "$work/static"
    cp -R templates options public "$work/static/"
    mkdir -p "$(dirname "$static")"
    mv "$work/static" "$static"
fi

cd "$here/.."
mkdir -p docs/pictures
PRENTICE_TEST_GITEA_STATIC=$static PRENTICE_TEST_PICTURES=$PWD/docs/pictures \
    cargo test --locked --test it -- setup::readme:: --nocapture
ls -l docs/pictures
for picture in docs/pictures/*.png; do
    [ "$(stat -c %s "$picture")" -lt 300000 ] || { echo "$picture is larger than 300 kB"; exit 1; }
done
