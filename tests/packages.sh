#!/usr/bin/env bash
# Makes a git repository of each of three published packages with a real past bug.
#
#   tests/packages.sh [FOLDER]      FOLDER: where to, the tests' cache by default
#
# Every package is fetched in two versions through the client of its registry, as
# that client is configured here; nothing of it is committed. What came is held to
# the git tree that is pinned below. Left behind for each, in FOLDER/NAME:
#
#   repo/       main: the source before the fix with the tests after it (red);
#               branches fix and wrong: one commit on top of main each
#   issue.md    what to ask for
#   fix.sh      makes the true fix; needs only sh and base64, so it can be an agent
#   wrong.sh    makes a change that looks right and is not
#   case.json   all of this for a program
#
# Red, green and red are seen once, when it is made. Lines that begin with
# `skipped` say what could not be made, and why.
set -euo pipefail
shopt -s nullglob
export LC_ALL=C

cache=${PRENTICE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prentice-tests}
into=${1:-$cache/packages}
# A change of this file makes everything anew.
stamp=$(sha256sum <"$0" | cut -d' ' -f1)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# Nobody's settings, and the same commits every time.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=packages GIT_AUTHOR_EMAIL=packages@example.invalid
export GIT_COMMITTER_NAME=packages GIT_COMMITTER_EMAIL=packages@example.invalid
export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'

die() { printf 'packages: %s\n' "$*" >&2; exit 1; }

# ---- clients: fetch NAME VERSION FOLDER

fetch_cargo() {
    local name=$1 version=$2 folder=$3 scratch
    scratch=$(mktemp -d -p "$work")
    mkdir "$scratch/src"
    : >"$scratch/src/lib.rs"
    printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n%s = "=%s"\n' \
        "$name" "$version" >"$scratch/Cargo.toml"
    (cd "$scratch" && cargo vendor --quiet vendor >/dev/null)
    mv "$scratch/vendor/$name" "$folder"
    rm -f "$folder"/.cargo-checksum.json "$folder"/.cargo_vcs_info.json "$folder"/.cargo-ok
}

fetch_pip() {
    local name=$1 version=$2 folder=$3 sha256=$4 scratch
    scratch=$(mktemp -d -p "$work")
    printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$sha256" >"$scratch/wanted"
    (cd "$scratch" && python3 -m pip download --quiet --no-deps --no-binary "$name" \
        --require-hashes --requirement wanted)
    tar --no-same-owner -xzf "$scratch/$name-$version.tar.gz" -C "$scratch"
    mv "$scratch/$name-$version" "$folder"
}

fetch_go() {
    local name=$1 version=$2 folder=$3 from
    from=$(cd "$work" && GOTOOLCHAIN=local GOFLAGS=-mod=mod go mod download -json "$name@v$version" |
        sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
    [ -n "$from" ] || die "go mod download named no folder for $name $version"
    cp -R "$from" "$folder"
    chmod -R u+w "$folder"
}

# ---- making a case

# Runs the check in the folder; prints `exit seconds`.
check() {
    local folder=$1 command=$2 start=$EPOCHREALTIME status=0 end
    (cd "$folder" && timeout 300 sh -c "$command" </dev/null) >"$work/log" 2>&1 || status=$?
    end=$EPOCHREALTIME
    printf '%s %s.%s\n' "$status" $((( ${end/./} - ${start/./} ) / 1000000)) \
        $((( ${end/./} - ${start/./} ) / 100000 % 10))
}

# A copy of main in which a script ran, checked; the change is kept as a branch.
try() {
    local case=$1 branch=$2 script=$3 command=$4 copy=$work/$2-$$
    rm -rf "$copy"
    git clone --quiet "$case/repo" "$copy"
    (cd "$copy" && sh "$script")
    git -C "$copy" diff --quiet && die "$script changes nothing"
    git -C "$copy" commit --quiet --all --message "$branch"
    git -C "$case/repo" fetch --quiet "$copy" "HEAD:refs/heads/$branch"
    # A fresh clone, so that what main left behind proves nothing.
    check "$copy" "$command"
}

# make NAME LANGUAGE TOOL COMMAND TREE SOURCE  (in $work: NAME-before, NAME-after, NAME-wrong, NAME-issue)
make() {
    local name=$1 language=$2 tool=$3 command=$4 tree=$5 source=$6
    local before=$work/$name-before after=$work/$name-after case=$work/$name-case got red green wrong file
    mkdir -p "$case"

    # main: everything before the fix, with the tests after it.
    for file in "$before"/tests "$before"/*_test.go; do rm -rf "$file"; done
    for file in "$after"/tests "$after"/*_test.go; do
        if [ -e "$file" ]; then cp -R "$file" "$before/"; fi
    done
    mv "$before" "$case/repo"
    git -C "$case/repo" init --quiet --initial-branch=main
    git -C "$case/repo" add --all --force
    git -C "$case/repo" commit --quiet --message "$name before the fix, with the tests after it"
    got=$(git -C "$case/repo" rev-parse 'HEAD^{tree}')
    [ "$got" = "$tree" ] || die "$name: fetched the tree $got, pinned is $tree"

    # The true fix: the source file as published afterwards.
    {
        printf '# The fix of %s as published.\nset -e\n' "$name"
        printf "base64 -d >%s <<'END'\n" "$source"
        base64 <"$after/$source"
        printf 'END\n'
    } >"$case/fix.sh"
    cp "$work/$name-wrong" "$case/wrong.sh"
    cp "$work/$name-issue" "$case/issue.md"

    git clone --quiet "$case/repo" "$work/main-$$"
    red=$(check "$work/main-$$" "$command")
    [ "${red% *}" != 0 ] || die "$name: the check is green before the fix"
    rm -rf "$work/main-$$"
    green=$(try "$case" fix "$case/fix.sh" "$command")
    [ "${green% *}" = 0 ] || { tail -n 20 "$work/log" >&2; die "$name: the check is red after the fix"; }
    cmp --quiet <(git -C "$case/repo" show "fix:$source") "$after/$source" || die "$name: fix.sh is not the fix"
    wrong=$(try "$case" wrong "$case/wrong.sh" "$command")
    [ "${wrong% *}" != 0 ] || die "$name: the check is green after the wrong fix"

    cat >"$case/case.json" <<END
{
  "name": "$name",
  "language": "$language",
  "tool": "$tool",
  "verify": "$command",
  "repo": "repo",
  "main": "$(git -C "$case/repo" rev-parse main)",
  "fix": "$(git -C "$case/repo" rev-parse fix)",
  "wrong": "$(git -C "$case/repo" rev-parse wrong)",
  "changed": ["$source"],
  "issue": "issue.md",
  "fix_script": "fix.sh",
  "wrong_script": "wrong.sh"
}
END
    printf '%s\n' "$stamp" >"$case/stamp"
    mkdir -p "$into"
    rm -rf "${into:?}/$name"
    mv "$case" "$into/$name"
    printf 'made %s (%s): red in %s s, green in %s s, wrong fix red in %s s\n' \
        "$name" "$language" "${red#* }" "${green#* }" "${wrong#* }"
}

# Whether the case is still to be made, and can be.
wanted() {
    local name=$1 tool
    shift
    if [ -f "$into/$name/stamp" ] && [ "$(cat "$into/$name/stamp")" = "$stamp" ]; then
        printf 'have %s\n' "$name"
        return 1
    fi
    for tool; do
        if ! $tool >/dev/null 2>&1; then
            printf 'skipped %s: `%s` does not run here\n' "$name" "$tool"
            return 1
        fi
    done
}

# ---- the three

if wanted pico-args 'cargo --version'; then
    fetch_cargo pico-args 0.4.1 "$work/pico-args-before"
    fetch_cargo pico-args 0.4.2 "$work/pico-args-after"
    cat >"$work/pico-args-issue" <<'END'
# A long option is taken for a combination of short ones

With the feature `combined-flags`, `contains("-s")` says true for the argument
`--version`, and takes the letter out of it.

### Goal

A long option is never read as combined short flags.

### Acceptance criteria

- [ ] `cargo test --features combined-flags` passes

### Files or areas in scope

- src/**
END
    cat >"$work/pico-args-wrong" <<'END'
# Looks only behind the first dash, and forgets that a long option has two.
set -e
sed 's/s\.contains(short_flag)/s[1..].contains(short_flag)/' src/lib.rs >lib.new
cat lib.new >src/lib.rs
rm lib.new
END
    make pico-args rust cargo 'cargo test --features combined-flags' \
        2034ce67102ab18f326e03c006ebd97b834d05ef src/lib.rs
fi

if wanted xmltodict 'python3 -m pip --version'; then
    fetch_pip xmltodict 0.14.1 "$work/xmltodict-before" \
        338c8431e4fc554517651972d62f06958718f6262b04316917008e8fd677a6b0
    fetch_pip xmltodict 0.14.2 "$work/xmltodict-after" \
        201e7c28bb210e374999d1dde6382923ab0ed1a8a5faeece48ab525b7810a553
    cat >"$work/xmltodict-issue" <<'END'
# Whitespace in an empty element is no longer skipped

`parse("<root> </root>")` gives `{"root": " "}` although `strip_whitespace` is
on by default; it used to give `{"root": None}`.

### Goal

An element that holds only whitespace is empty again.

### Acceptance criteria

- [ ] `python3 -m unittest discover -s tests` passes

### Files or areas in scope

- xmltodict.py
END
    cat >"$work/xmltodict-wrong" <<'END'
# Tells an empty item from none, but the element without children has none.
set -e
sed 's/if self\.strip_whitespace and data and item:/if self.strip_whitespace and data and item is not None:/' \
    xmltodict.py >xmltodict.new
cat xmltodict.new >xmltodict.py
rm xmltodict.new
END
    make xmltodict python python3 'python3 -m unittest discover -s tests' \
        62768e0f2937636fdbecbb3d01c69d28d76a1e89 xmltodict.py
fi

if wanted semver 'go version'; then
    fetch_go github.com/Masterminds/semver/v3 3.3.0 "$work/semver-before"
    fetch_go github.com/Masterminds/semver/v3 3.3.1 "$work/semver-after"
    cat >"$work/semver-issue" <<'END'
# Versions that the specification forbids are accepted

`NewVersion("01.1.1")` and `StrictNewVersion("1.1.2+.123")` give no error.

### Goal

A leading zero in a number and an empty segment of metadata are errors.

### Acceptance criteria

- [ ] `go test ./...` passes

### Files or areas in scope

- *.go
END
    cat >"$work/semver-wrong" <<'END'
# Refuses a leading zero in the first number only, and no empty segment.
set -e
sed 's/`v?(\[0-9\]+)/`v?(0|[1-9][0-9]*)/' version.go >version.new
cat version.new >version.go
rm version.new
END
    make semver go go 'go test ./...' 4f13e77f92fb4cf438e4c20d899c75594449ddfe version.go
fi
