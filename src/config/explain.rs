//! `prentice explain`: one paragraph and one example for every code a person can meet.

/// What stands behind `code`: a configuration mistake (`PRN203`, in any case) or a class of
/// failure (`verify`). `None` for anything else.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    let code = code.trim();
    Code::ALL
        .iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(code))
        .map(|known| known.text())
        .or_else(|| {
            CLASSES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(code))
                .map(|(_, text)| *text)
        })
}

/// Everything [`explain`] knows, in the order of a list for people.
pub fn explained() -> impl Iterator<Item = &'static str> {
    let codes = Code::ALL.iter().map(|code| code.as_str());
    codes.chain(CLASSES.iter().map(|(name, _)| *name))
}

/// Writes the enum and its texts from one list, so that no code can lack a text.
macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal, $why:literal, $wrong:literal, $right:literal;)*) => {
        /// What kind of mistake it is. The numbers are stable: one is never used again for another thing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code, ascending.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// `PRN203`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("PRN", $number),)*
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => concat!(
                        "PRN", $number, ": ", $title, "\n\n", $why,
                        "\n\nWrong:\n\n", $wrong, "\n\nRight:\n\n", $right, "\n"
                    ),)*
                }
            }
        }
    };
}

codes! {
    Syntax = 101, "the file is not TOML",
        "The text cannot be read as TOML at the place shown. The rest of the file is judged as far as it can be understood, so several of these may be told at once.",
        "    [task]\n    timeout = 60m",
        "    [task]\n    timeout = \"60m\"";
    NotText = 102, "the file is not UTF-8",
        "Configuration is UTF-8 text. The place shown is the first byte that is not.",
        "    a file saved as Latin-1 or UTF-16",
        "    the same file saved as UTF-8";
    TooLarge = 103, "the file is too large",
        "A configuration file may have at most 262144 bytes. Larger ones are not read at all.",
        "    a file of several megabytes",
        "    long scripts kept in the repository and called from `run`";
    Twice = 104, "a key or table is given twice",
        "TOML allows each key and each table once. Nothing decides which of the two was meant, so neither is used.",
        "    [task]\n    attempts = 1\n    attempts = 3",
        "    [task]\n    attempts = 3";
    VersionMissing = 105, "`version` is missing",
        "Every configuration file says for which version of the format it was written, so that a later release can tell an old file from a wrong one.",
        "    [task]\n    attempts = 3",
        "    version = 1\n\n    [task]\n    attempts = 3";
    VersionUnknown = 106, "`version` is not one this program knows",
        "This program reads version 1 of the format. A higher number means that the file was written for a newer release.",
        "    version = 2",
        "    version = 1";
    UnknownTable = 201, "unknown table",
        "The table is not part of the configuration. Unknown tables are refused, since a misspelt one would otherwise be ignored in silence.",
        "    [scopes]\n    max_files = 10",
        "    [scope]\n    max_files = 10";
    Missing = 202, "a key is missing",
        "Each `[[verify]]` needs a name, which criteria and reports use, and a command.",
        "    [[verify]]\n    name = \"tests\"",
        "    [[verify]]\n    name = \"tests\"\n    run  = \"make check\"";
    UnknownKey = 203, "unknown key",
        "The key is not part of this table. Unknown keys are refused, since a misspelt one would otherwise be ignored in silence. The message names the keys allowed there.",
        "    [task]\n    time_out = \"2h\"",
        "    [task]\n    timeout = \"2h\"";
    WrongType = 204, "a value of the wrong type",
        "The key takes another type of value: text in quotes, a whole number, true or false, a list in brackets.",
        "    [task]\n    timeout = 60",
        "    [task]\n    timeout = \"60m\"";
    OutOfRange = 205, "a number, duration or size outside its range",
        "The value is well formed, but smaller or larger than the key allows. The message gives both ends.",
        "    [task]\n    attempts = 50",
        "    [task]\n    attempts = 5";
    NotAWord = 206, "not one of the words allowed",
        "The key takes one of a few words, written in small letters.",
        "    [scope]\n    dependencies = \"ask\"",
        "    [scope]\n    dependencies = \"approve\"";
    BadDuration = 207, "not a duration",
        "A duration is a whole number and one unit: s, m, h or d, with nothing between or after. \"0\" stands alone.",
        "    [task]\n    timeout = \"1.5 hours\"",
        "    [task]\n    timeout = \"90m\"";
    BadSize = 208, "not a size",
        "A size is a whole number and one binary unit: KiB, MiB, GiB or TiB, with nothing between or after.",
        "    [sandbox]\n    memory = \"4 gigs\"",
        "    [sandbox]\n    memory = \"4GiB\"";
    BadGlob = 209, "not a path pattern",
        "Patterns are globs over paths as git shows them: `*` within a folder, `**` across folders, `{a,b}` and `[ab]`. They start at the root of the repository, without a slash, and cannot be negated.",
        "    [scope]\n    deny = [\"/vendor/**\", \"src/[a\"]",
        "    [scope]\n    deny = [\"vendor/**\", \"src/[ab]\"]";
    BadText = 210, "a text that cannot be used here",
        "The text is empty, too long, or holds characters that the key does not allow.",
        "    [setup]\n    run = [\"\"]",
        "    [setup]\n    run = [\"npm ci --offline\"]";
    StallAfter = 211, "`stall_after` is not shorter than `timeout`",
        "A run that is silent for `stall_after` is told as stalled. With a `timeout` as short or shorter, the run would end before anyone is told.",
        "    [task]\n    timeout     = \"60m\"\n    stall_after = \"90m\"",
        "    [task]\n    timeout     = \"60m\"\n    stall_after = \"10m\"";
    BadBranch = 212, "not a pattern for task branches",
        "The pattern must hold `{number}`, may hold `{slug}`, and else uses only a-z, 0-9, `-` and `/`, so that it is a legal branch name on every forge and different for every task.",
        "    [task]\n    branch = \"Agent/{slug}\"",
        "    [task]\n    branch = \"agent/{number}-{slug}\"";
    BadName = 213, "not a name",
        "Names have 1 to 30 characters from a-z, 0-9 and `-`, since they appear in criteria, commands and file names.",
        "    [[verify]]\n    name = \"Unit Tests\"\n    run  = \"make check\"",
        "    [[verify]]\n    name = \"unit-tests\"\n    run  = \"make check\"";
    NameTwice = 214, "two of one name",
        "A criterion names the check that proves it, so each name stands for one command. Deliveries and credentials name their forge, so each of those has a name of its own too.",
        "    [[verify]]\n    name = \"tests\"\n    run  = \"make check\"\n\n    [[verify]]\n    name = \"tests\"\n    run  = \"make lint\"",
        "    [[verify]]\n    name = \"tests\"\n    run  = \"make check\"\n\n    [[verify]]\n    name = \"lint\"\n    run  = \"make lint\"";
    SecretName = 215, "a variable that looks like a secret",
        "`[sandbox] env` is read by the agent and by everyone who can read the repository. Names that hold KEY, TOKEN, SECRET or PASSWORD are refused, so that no credential is put there by mistake. If the value is one, it is public by now: replace it where it was issued.",
        "    [sandbox]\n    env = { API_TOKEN = \"abc\" }",
        "    [sandbox]\n    env = { API_MODE = \"offline\" }";
    BadVariable = 216, "not a variable",
        "A variable's name has letters, digits and `_` and does not start with a digit; its value is text of at most 4096 characters.",
        "    [sandbox]\n    env = { \"MY-MODE\" = \"fast\" }",
        "    [sandbox]\n    env = { MY_MODE = \"fast\" }";
    BadPath = 217, "a path of the wrong kind",
        "Paths in the repository file are relative to its root and stay inside it. Paths in the server file are absolute. Neither holds `..`.",
        "    [context]\n    instructions = [\"../AGENTS.md\"]",
        "    [context]\n    instructions = [\"AGENTS.md\"]";
    TooMany = 218, "too many entries",
        "Lists and tables have a largest length, given in the message, so that no file can make a run slow or a report unreadable.",
        "    [context]\n    instructions = [\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]",
        "    [context]\n    instructions = [\"AGENTS.md\"]";
    BadBase = 219, "not a branch name",
        "`task.base` names the branch to start from as git writes it, without `refs/heads/`. Empty means the default branch.",
        "    [task]\n    base = \"release 1.0\"",
        "    [task]\n    base = \"release-1.0\"";
    LostAfter = 220, "`lost_after` is not longer than two heartbeats",
        "A worker is lost when its heartbeat is missing for `lost_after`. With less than two heartbeats in that time, one that is merely late would be taken for lost.",
        "    # server.toml\n    [workers]\n    heartbeat  = \"60s\"\n    lost_after = \"90s\"",
        "    # server.toml\n    [workers]\n    heartbeat  = \"15s\"\n    lost_after = \"2m\"";
    AboveCeiling = 221, "a default above its own ceiling",
        "`[sandbox]` of the server file says what a repository gets that asks for nothing, `[policy]` the most that it may ask for. The first cannot exceed the second.",
        "    # server.toml\n    [sandbox]\n    memory = \"32GiB\"",
        "    # server.toml\n    [sandbox]\n    memory = \"32GiB\"\n\n    [policy]\n    memory = \"32GiB\"";
    BadAddress = 222, "an address that cannot be used",
        "`listen` takes an IP address and a port. Addresses of forges and our own begin with `https://` and have no slash at the end; plain `http://` is for this machine and, for a forge, its own network, since a token goes there.",
        "    # server.toml\n    [server]\n    public_url = \"http://bot.example.org/\"",
        "    # server.toml\n    [server]\n    public_url = \"https://bot.example.org\"";
    BadRepositories = 223, "not a name of repositories",
        "A forge serves the repositories that are named: one as `owner/name`, all of an owner as `owner/*`. Nothing else is a pattern, so that none is served by accident.",
        "    # server.toml\n    [[forge]]\n    repos = [\"*\"]",
        "    # server.toml\n    [[forge]]\n    repos = [\"our-team/*\"]";
    ForgeKeys = 224, "keys of a forge that do not fit together",
        "Only GitHub has a public service that is meant without an address, and only GitHub has Apps.",
        "    # server.toml\n    [[forge]]\n    kind = \"gitea\"",
        "    # server.toml\n    [[forge]]\n    kind     = \"gitea\"\n    base_url = \"https://git.example.org\"";
    UnknownVariable = 301, "an environment variable that sets nothing",
        "Variables named PRENTICE_SECTION__KEY override the server file. This one names no section or no key of it.",
        "    PRENTICE_SANDBOX__MEMROY=8GiB",
        "    PRENTICE_SANDBOX__MEMORY=8GiB";
}

/// Classes of failure: who acts, whether it is tried again, what to do first.
const CLASSES: &[(&str, &str)] = &[
    (
        "infra",
        "infra: the machine failed, not the task\n\n\
         A worker was lost or its host restarted. The work so far is kept, and the task is tried once more by itself.\n\n\
         Who acts: the operator. Nothing is needed unless it repeats.\n",
    ),
    (
        "forge",
        "forge: the forge refused or was out of reach\n\n\
         A push, comment or other write was answered with an error or a rate limit. It is tried three times, with growing pauses.\n\n\
         Who acts: the operator. Check that the bot still has its rights on the repository.\n",
    ),
    (
        "config",
        "config: the repository file has mistakes\n\n\
         Nothing was started. Every mistake is listed with file, line and column. Not tried again by itself.\n\n\
         Who acts: a maintainer. Correct the file; `prentice config check` tells whether it is right.\n",
    ),
    (
        "setup",
        "setup: a set-up command failed\n\n\
         A command of `[setup]` ended with an error, so no check could have meant anything. The command and its last lines are shown. Not tried again by itself.\n\n\
         Who acts: a maintainer. Set-up has no network: everything it needs must be in the repository or in the package caches of the machine.\n",
    ),
    (
        "baseline",
        "baseline: a required check could not be judged on the base commit\n\n\
         Its command was not found, was killed, or could not start, before the agent changed anything. A check that is merely red on base never stops a run: that is the usual bug. Not tried again by itself.\n\n\
         Who acts: a maintainer. Run the command in a fresh clone and correct `[[verify]]` or `[setup]`.\n",
    ),
    (
        "verify",
        "verify: a required check is still red\n\n\
         After all `attempts` at least one required check fails on the exact result, or is unstable. No pull request was opened and the base is untouched. The failing check, what was tried, and whether it was red on base too are shown.\n\n\
         Who acts: a maintainer. Read the log of the check; make the issue more precise and retry, or take the branch over.\n",
    ),
    (
        "no-change",
        "no-change: the agent changed nothing\n\n\
         The agent ended well, but the tree is the one it was given. Not tried again by itself.\n\n\
         Who acts: whoever asked. Say in the issue what should be different afterwards, and how one can see it.\n",
    ),
    (
        "scope",
        "scope: the change touches what it may not\n\n\
         A gate refused the result: a denied path, a secret, a link that leaves the tree, a nested repository. Its checks were not run. The files are listed with the reason.\n\n\
         Who acts: whoever may approve. Narrow the issue or change `[scope]`, then retry.\n",
    ),
    (
        "budget",
        "budget: the allowance is used up\n\n\
         The task reached its limit of tokens or money. What was spent and the limit are shown. Not tried again by itself.\n\n\
         Who acts: whoever may approve. Grant more by name, or split the issue.\n",
    ),
    (
        "timeout",
        "timeout: a step took longer than it may\n\n\
         Set-up, the agent or a check, on base or on the result, reached its time limit and was ended with everything it had started. Not tried again by itself.\n\n\
         Who acts: whoever may approve. Raise `timeout` of the step (in `[task]`, `[setup]` or `[[verify]]`) or make the step shorter.\n",
    ),
    (
        "limit",
        "limit: a step used more than it may\n\n\
         Memory, processes, disk or output reached a limit, and the step was ended. The limit, the step and the key that raises it are shown. Not tried again by itself.\n\n\
         Who acts: a maintainer. Raise the key in `[sandbox]`, up to the ceiling of the server, or make the step smaller.\n",
    ),
    (
        "conflict",
        "conflict: the base moved, and the change no longer fits\n\n\
         The branch was brought up to date once, and files conflict. They are listed.\n\n\
         Who acts: a maintainer. Retry on the new base, or take the branch over.\n",
    ),
    (
        "provider",
        "provider: the model's provider refused or is down\n\n\
         The key, the model or the quota was refused, or no answer came. When it is down, it is tried three times with growing pauses; a refusal is not tried again.\n\n\
         Who acts: the operator. Check key, model name and quota.\n",
    ),
    (
        "agent",
        "agent: the agent itself failed\n\n\
         It crashed, refused, or wrote what could not be read. Its own last words are shown and marked as such. It is tried once more by itself.\n\n\
         Who acts: a maintainer. Run the agent command by hand in a clone, with the brief on its standard input.\n",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Mistake, Mistakes, repository, server};

    /// The two examples of a text, without their indentation.
    fn examples(text: &str) -> (String, String) {
        let (_, rest) = text.split_once("\n\nWrong:\n\n").unwrap();
        let (wrong, right) = rest.split_once("\n\nRight:\n\n").unwrap();
        let dedent = |text: &str| {
            text.lines()
                .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
                .collect::<String>()
        };
        (dedent(wrong), dedent(right))
    }

    /// What an example earns, read as the file or the variable it is.
    fn earned(code: Code, example: &str) -> Vec<Mistake> {
        let set = |mistakes: Mistakes| mistakes.list;
        if let Some((name, value)) = example
            .starts_with("PRENTICE_")
            .then(|| example.trim().split_once('=').unwrap())
        {
            let env = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            return server(None, &env).map_or_else(set, |_| Vec::new());
        }
        let text = if example.contains("version") || code == Code::VersionMissing {
            example.to_owned()
        } else {
            format!("version = 1\n{example}")
        };
        if example.contains("# server.toml") {
            let file = Some(("server.toml", text.as_bytes()));
            return server(file, &BTreeMap::new()).map_or_else(set, |_| Vec::new());
        }
        repository("prentice.toml", text.as_bytes()).map_or_else(set, |_| Vec::new())
    }

    #[test]
    fn every_code_is_earned_by_its_wrong_example_alone_and_by_nothing_in_its_right_one() {
        let mut told = String::new();
        for &code in Code::ALL {
            if matches!(code, Code::NotText | Code::TooLarge) {
                continue; // Bytes that no text can show: the tests of `repository` earn them.
            }
            let (wrong, right) = examples(code.text());
            let mistakes = earned(code, &wrong);
            assert!(!mistakes.is_empty(), "{wrong}");
            for mistake in mistakes {
                assert_eq!(mistake.code, code, "{wrong}");
                told += &format!(
                    "{}: {}\n  {}\n",
                    code.as_str(),
                    mistake.message,
                    mistake.hint
                );
            }
            assert_eq!(earned(code, &right), Vec::new(), "{right}");
        }
        insta::assert_snapshot!(told, @r#"
        PRN101: string values must be quoted
          write it in quotes
        PRN104: `attempts` is given twice
          keep one of the two
        PRN105: `version` is missing
          start the file with `version = 1`
        PRN106: `version` is not one this program knows
          this program reads version 1
        PRN201: unknown table [scopes]
          did you mean `[scope]`?
        PRN202: `run` is missing in [[verify]]
          add `run`: a command
        PRN203: unknown key `time_out` in [task]
          did you mean `timeout`?
        PRN204: `task.timeout` takes a duration in quotes, not a whole number
          write a number and a unit in quotes, for example "60m"
        PRN205: `task.attempts` is outside its range
          takes a whole number from 1 to 5
        PRN206: `scope.dependencies` cannot be "ask"
          use one of block, approve, allow
        PRN207: `task.timeout` is not a duration: "1.5 hours"
          did you mean "90m"?
        PRN208: `sandbox.memory` is not a size: "4 gigs"
          did you mean "4GiB"?
        PRN209: `scope.deny[0]` starts with `/`
          patterns start at the root of the repository: leave the `/` away
        PRN209: `scope.deny[1]` is not a path pattern: unclosed character class; missing ']'
          correct the brackets, or write `\` before a character meant as itself
        PRN210: `setup.run[0]` is empty
          write a command, or remove the entry
        PRN211: `stall_after` (90m) must be shorter than `timeout` (60m)
          set this below 60m, or raise `timeout` on line 3
        PRN212: `task.branch` does not hold `{number}`
          put `{number}` where the number of the issue belongs, for example "agent/{number}-{slug}"
        PRN213: `verify[0].name` is not a name
          use 1 to 30 of a-z, 0-9 and `-`
        PRN214: two checks are named `tests`
          choose another name, line 3 has it
        PRN215: `API_TOKEN` looks like a secret
          names that hold TOKEN are refused; everyone who reads the repository reads this
        PRN216: `MY-MODE` is not the name of a variable
          use letters, digits and `_`, no digit first
        PRN217: `context.instructions[0]` is not a path inside the repository
          write it from the root of the repository, without `/` at the start and without `..`
        PRN218: `context.instructions` has 21 entries
          at most 20 are allowed
        PRN219: `task.base` is not the name of a branch
          write it as `git branch` shows it, or leave it empty
        PRN220: `workers.lost_after` (90s) must be longer than twice `workers.heartbeat` (60s)
          raise `workers.lost_after`, or lower `workers.heartbeat`
        PRN221: `sandbox.memory` (32GiB) is above its ceiling `policy.memory` (16GiB)
          lower `sandbox.memory`, or raise `policy.memory`
        PRN222: `server.public_url` ends with `/`
          leave the `/` at the end away
        PRN223: `forge[0].repos[0]` names no repositories
          write `owner/name`, or `owner/*` for all of an owner
        PRN224: the forge `main` does not say where it is
          add `base_url`, for example "https://git.example.org": only GitHub has a public service that is meant
        PRN301: `PRENTICE_SANDBOX__MEMROY` sets nothing
          did you mean `PRENTICE_SANDBOX__MEMORY`?
        "#);
    }

    #[test]
    fn codes_ascend_so_that_none_is_used_for_two_things() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }

    #[test]
    fn everything_listed_is_explained_under_its_own_name() {
        for name in explained() {
            let text = explain(name).unwrap();
            assert!(text.starts_with(&format!("{name}: ")), "{text}");
            assert_eq!(explain(&name.to_lowercase()), Some(text));
        }
        let classes: Vec<&str> = CLASSES.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            classes.join(" "),
            "infra forge config setup baseline verify no-change scope budget timeout limit \
             conflict provider agent"
        );
        assert_eq!(explain("PRN999"), None);
    }

    #[test]
    fn an_unknown_key_is_explained_like_this() {
        insta::assert_snapshot!(explain("PRN203").unwrap(), @r#"
        PRN203: unknown key

        The key is not part of this table. Unknown keys are refused, since a misspelt one would otherwise be ignored in silence. The message names the keys allowed there.

        Wrong:

            [task]
            time_out = "2h"

        Right:

            [task]
            timeout = "2h"
        "#);
    }
}
