#!/usr/bin/env bash
# Plants each bug of fixtures/planted and demands that its test notices.
#
#   tests/planted.sh [NAME…]     these only, named as their files without .patch
#
# A patch removes one guard. Its first lines are
#
#   # removes: WHAT THE GUARD IS FOR
#   # must fail: NAME OF THE TEST, as `cargo test -- --list` has it
#
# The tree is copied, so that nobody meets a planted bug by accident. First every
# named test must pass there as it is (PRENTICE_TESTS_PASSED: whoever calls has just
# seen them all pass on this very tree); then, patch by patch, what was patched must
# build and the named test must fail. A patch that no longer applies is a failure,
# and so is a test that hangs. One patch in a tree at a time: a bug is noticed for
# itself. There are as many trees as cores, since one build alone leaves cores idle.
#
# PRENTICE_PLANTED_SECONDS: after so long none is begun any more; those that are left
# are counted and told. Which come first differs from commit to commit.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${PRENTICE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prentice-tests}
work=$cache/planted
tree=$work/tree
mkdir -p "$work"
# One at a time: the copy and what is built of it are shared.
exec 9>"$work/lock"
flock 9

# copy_built FROM TO: other people's crates that were built in FROM serve in TO, where nothing is yet; our own is built
# again there, for its paths differ.
copy_built() {
    [ ! -d "$2" ] && [ -d "$1/debug/deps" ] || return 0
    mkdir -p "$2.new/debug"
    cp -a "$1"/debug/{.fingerprint,build,deps} "$2.new/debug/"
    find "$2.new/debug" -mindepth 2 -maxdepth 2 \( -name 'prentice-*' -o -name 'libprentice-*' -o -name 'it-*' \) \
        -exec rm -rf {} +
    mv "$2.new" "$2"
}
copy_built "${CARGO_TARGET_DIR:-$root/target}" "$work/target"
export CARGO_TARGET_DIR=$work/target
# Nobody debugs a planted bug, and no test named here is slow: building is nearly all of the time.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_OPT_LEVEL=0 CARGO_TERM_COLOR=never
test_seconds=300

# ---- the copies: only what differs is written, so that only that is built again

listed=$(mktemp)
results=$(mktemp -d)
trap 'rm -rf "$listed" "$results"; kill $(jobs -p) 2>/dev/null || true' EXIT
git -c safe.directory=* -C "$root" ls-files -z --cached --others --exclude-standard >"$listed"

copy_to() {
    local tree=$1 file
    mkdir -p "$tree"
    while IFS= read -r -d '' file; do
        [ -f "$root/$file" ] || continue
        cmp --quiet "$root/$file" "$tree/$file" && continue
        mkdir -p "$tree/$(dirname "$file")"
        cp -P "$root/$file" "$tree/$file"
    done <"$listed"
    # A repository, since tests ask git for the files; what went away goes here too.
    [ -d "$tree/.git" ] || git -C "$tree" init --quiet
    while IFS= read -r -d '' file; do
        [ -f "$root/$file" ] || rm -f "$tree/$file"
    done < <(git -C "$tree" ls-files -z --others --exclude-standard)
}
copy_to "$tree"
cd "$tree"

# ---- what is to be noticed

shopt -s nullglob
patches=("$root"/fixtures/planted/*.patch)
if [ $# -gt 0 ]; then
    patches=("${@/%/.patch}")
    patches=("${patches[@]/#/$root/fixtures/planted/}")
    for patch in "${patches[@]}"; do
        [ -f "$patch" ] || { echo "there is no $patch"; exit 2; }
    done
fi
[ ${#patches[@]} -gt 0 ] || { echo "no patches in fixtures/planted"; exit 1; }

header() { sed -n "s/^# $2: *//p;/^diff /q" "$1" | head -n 1; }

cargo test --locked --no-run --lib --test it
declare -A kind
for target in lib it; do
    [ "$target" = lib ] && flags=(--lib) || flags=(--test it)
    while IFS= read -r name; do kind[$name]=$target; done \
        < <(cargo test --quiet --locked "${flags[@]}" -- --list 2>/dev/null | sed -n 's/: test$//p')
done

# tell OUTCOME PATCH TEXT: a line of the table, kept in a file, since lanes do not share variables.
tell() { printf '%-9s %-34s %s\n' "$1" "$(basename "$2" .patch)" "$3" >"$results/$(basename "$2").row"; }

names_lib=()
names_it=()
ready=()
for patch in "${patches[@]}"; do
    name=$(header "$patch" 'must fail')
    if [ -z "$name" ] || [ -z "$(header "$patch" removes)" ]; then
        tell BROKEN "$patch" 'the lines `# removes:` and `# must fail:` are not there'
    elif [ -z "${kind[$name]:-}" ]; then
        tell BROKEN "$patch" "there is no test $name"
    elif ! git apply --check "$patch"; then
        tell BROKEN "$patch" 'no longer applies'
    else
        ready+=("$patch")
        if [ "${kind[$name]}" = lib ]; then names_lib+=("$name"); else names_it+=("$name"); fi
    fi
done

# Without the bugs all of them pass; each is counted, since a name that is not run proves nothing.
clean() {
    local flag=$1 output wanted
    shift
    [ $# -gt 0 ] || return 0
    wanted=$(printf '%s\n' "$@" | sort -u | wc -l)
    # shellcheck disable=SC2086 # `--test it` are two words.
    output=$(timeout $((test_seconds * 4)) cargo test --locked $flag -- --exact "$@" 2>&1) || true
    printf '%s\n' "$output" | sed 's/^test result:/without the bugs:/'
    grep -q "^test result: ok. $wanted passed; 0 failed; 0 ignored;" <<<"$output" || {
        echo "the named tests do not all pass without the bugs"
        exit 1
    }
}
if [ -z "${PRENTICE_TESTS_PASSED:-}" ]; then
    clean --lib "${names_lib[@]}"
    clean '--test it' "${names_it[@]}"
fi

# ---- lane by lane

lanes=$(nproc)
[ "$lanes" -le 4 ] || lanes=4
for ((lane = 1; lane < lanes; lane++)); do
    mkdir -p "$work/lane-$lane"
    copy_built "$work/target" "$work/lane-$lane/target"
    copy_to "$work/lane-$lane/tree"
done

# plant LANE: the patches that fall to a lane, one after the other, each taken when the one before is done.
plant() {
    local lane=$1 patch name flags start status output
    if [ "$lane" != 0 ]; then
        cd "$work/lane-$lane/tree"
        export CARGO_TARGET_DIR=$work/lane-$lane/target
    fi
    for patch in "${ready[@]}"; do
        [ "$SECONDS" -lt "${PRENTICE_PLANTED_SECONDS:-$((1 << 31))}" ] || break
        mkdir "$results/$(basename "$patch").taken" 2>/dev/null || continue
        {
            name=$(header "$patch" 'must fail')
            [ "${kind[$name]}" = lib ] && flags=(--lib) || flags=(--test it)
            echo "---- $(basename "$patch"): $name"
            git apply "$patch"
            start=$SECONDS
            if ! cargo test --locked --no-run "${flags[@]}"; then
                tell BROKEN "$patch" 'does not build'
            else
                status=0
                output=$(timeout "$test_seconds" cargo test --locked "${flags[@]}" -- --exact "$name" 2>&1) || status=$?
                printf '%s\n' "$output" | sed 's/^test result:/with the bug:/'
                if [ "$status" = 124 ]; then
                    tell HANGS "$patch" "$name"
                elif [ "$status" != 0 ] && grep -q '^test result: FAILED\. 0 passed; 1 failed;' <<<"$output"; then
                    tell noticed "$patch" "$((SECONDS - start)) s, $(header "$patch" removes)"
                else
                    tell MISSED "$patch" "$name passes without: $(header "$patch" removes)"
                fi
            fi
            git apply --reverse "$patch"
        } >"$results/$(basename "$patch").log" 2>&1
        flock "$results" cat "$results/$(basename "$patch").log"
    done
}

if [ -n "${PRENTICE_PLANTED_SECONDS:-}" ]; then
    seed=$(git -c safe.directory='*' -C "$root" rev-parse HEAD)
    mapfile -t ready < <(for patch in "${ready[@]}"; do
        printf '%s %s\n' "$(printf '%s %s' "$seed" "$(basename "$patch")" | sha256sum | cut -c1-16)" "$patch"
    done | sort | cut -d' ' -f2-)
fi
for ((lane = 0; lane < lanes; lane++)); do
    plant "$lane" &
done
wait
left=0
for patch in "${ready[@]}"; do
    [ -d "$results/$(basename "$patch").taken" ] || { left=$((left + 1)); continue; }
    [ -f "$results/$(basename "$patch").row" ] || tell BROKEN "$patch" "not run to its end: $(tail -n 1 "$results/$(basename "$patch").log")"
done

sort "$results"/*.row | sed 's/^/## /'
noticed=$(cat "$results"/*.row | grep -c '^noticed ' || true)
missed=$((${#patches[@]} - noticed - left))
[ "$left" = 0 ] || echo "## $left of ${#patches[@]} were not begun within $PRENTICE_PLANTED_SECONDS s; \`tests/run --planted\` plants all"
verdict=ok
[ "$missed" = 0 ] || verdict=FAILED
printf 'test result: %s. %s passed; %s failed; 0 ignored; 0 measured; 0 filtered out\n' "$verdict" "$noticed" "$missed"
[ "$missed" = 0 ]
