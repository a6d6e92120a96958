#!/usr/bin/env bash
# Plants each bug of fixtures/planted and demands that its test notices.
#
# A patch removes one guard. Its first lines are
#
#   # removes: WHAT THE GUARD IS FOR
#   # must fail: NAME OF THE TEST, as `cargo test -- --list` has it
#
# The tree is copied, so that nobody meets a planted bug by accident. First every
# named test must pass there as it is; then, patch by patch, what was patched must
# build and the named test must fail. A patch that no longer applies is a failure,
# and so is a test that hangs.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${PRENTICE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prentice-tests}
work=$cache/planted
tree=$work/tree
mkdir -p "$tree"
# One at a time: the copy and what is built of it are shared.
exec 9>"$work/lock"
flock 9

export CARGO_TARGET_DIR=$work/target
# Nobody debugs a planted bug, and no test named here is slow: building is nearly all of the time.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_OPT_LEVEL=0 CARGO_TERM_COLOR=never
test_seconds=300

# ---- the copy: only what differs is written, so that only that is built again

listed=$(mktemp)
trap 'rm -f "$listed"' EXIT
git -c safe.directory=* -C "$root" ls-files -z --cached --others --exclude-standard >"$listed"
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
cd "$tree"

# ---- what is to be noticed

shopt -s nullglob
patches=("$root"/fixtures/planted/*.patch)
[ ${#patches[@]} -gt 0 ] || { echo "no patches in fixtures/planted"; exit 1; }

header() { sed -n "s/^# $2: *//p;/^diff /q" "$1" | head -n 1; }

cargo test --locked --no-run --lib --test it
declare -A kind
for target in lib it; do
    [ "$target" = lib ] && flags=(--lib) || flags=(--test it)
    while IFS= read -r name; do kind[$name]=$target; done \
        < <(cargo test --quiet --locked "${flags[@]}" -- --list 2>/dev/null | sed -n 's/: test$//p')
done

rows=()
missed=0
noticed=0
tell() {
    local outcome=$1 patch=$2 text=$3
    if [ "$outcome" = noticed ]; then noticed=$((noticed + 1)); else missed=$((missed + 1)); fi
    rows+=("$(printf '%-9s %-34s %s' "$outcome" "$(basename "$patch" .patch)" "$text")")
}

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
clean --lib "${names_lib[@]}"
clean '--test it' "${names_it[@]}"

planted=
unplant() { [ -z "$planted" ] || git apply --reverse "$planted"; planted=; rm -f "$listed"; }
trap unplant EXIT
for patch in "${ready[@]}"; do
    name=$(header "$patch" 'must fail')
    [ "${kind[$name]}" = lib ] && flags=(--lib) || flags=(--test it)
    echo "---- $(basename "$patch"): $name"
    git apply "$patch"
    planted=$patch
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
    planted=
done

printf '## %s\n' "${rows[@]}"
verdict=ok
[ "$missed" = 0 ] || verdict=FAILED
printf 'test result: %s. %s passed; %s failed; 0 ignored; 0 measured; 0 filtered out\n' "$verdict" "$noticed" "$missed"
[ "$missed" = 0 ]
