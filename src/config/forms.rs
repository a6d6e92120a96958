//! What texts must look like: durations, sizes, names, patterns, paths.

use std::net::SocketAddr;

use super::explain::Code;
use super::forges::{Host, is_repositories, url_fault};

/// What a text must look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A command for `sh -c`.
    Command,
    /// `[a-z0-9-]{1,30}`.
    Name,
    /// Pattern of the task branch.
    Branch,
    /// A branch, or empty.
    Base,
    /// A pattern over repository paths.
    Glob,
    /// A path inside the repository.
    RepoPath,
    /// An absolute path of this machine.
    HostPath,
    /// An absolute path of this machine, or empty.
    Folder,
    /// A level, or filter directives of `tracing`.
    LogFilter,
    /// A label of an issue or a pull request.
    Label,
    /// The name of an account.
    Login,
    /// `requester`, `codeowners` or the name of an account.
    Reviewer,
    /// What commands in comments begin with.
    Prefix,
    /// `ip:port`.
    Address,
    /// Where we are reached, or empty.
    PublicUrl,
    /// Where a forge is, or empty.
    BaseUrl,
    /// `owner/name` or `owner/*`.
    Repositories,
    /// One word of a command line.
    Argument,
}

/// Why a text is not of its form.
pub(super) struct Fault {
    pub(super) code: Code,
    /// Goes on after the key: "is empty".
    pub(super) message: String,
    pub(super) hint: String,
}

impl Form {
    /// Whether the text is of this form.
    pub(super) fn check(self, text: &str) -> Result<(), Fault> {
        let fault = |code, message: &str, hint: &str| {
            let (message, hint) = (message.to_owned(), hint.to_owned());
            Err(Fault {
                code,
                message,
                hint,
            })
        };
        let most = if self == Self::Command { 8000 } else { 1000 };
        if text.chars().count() > most {
            return fault(
                Code::BadText,
                "is too long",
                &format!("at most {most} characters"),
            );
        }
        let steers = |c: char| c.is_control() && !(self == Self::Command && "\n\t".contains(c));
        if text.contains(steers) {
            return fault(Code::BadText, "holds a control character", "remove it");
        }
        match self {
            Self::Command if text.trim().is_empty() => fault(
                Code::BadText,
                "is empty",
                "write a command, or remove the entry",
            ),
            Self::Name if !is_name(text) => fault(
                Code::BadName,
                "is not a name",
                "use 1 to 30 of a-z, 0-9 and `-`",
            ),
            Self::Branch => match branch_fault(text) {
                Some((message, hint)) => fault(Code::BadBranch, message, hint),
                None => Ok(()),
            },
            Self::Base if !text.is_empty() && !is_branch(text) => fault(
                Code::BadBase,
                "is not the name of a branch",
                "write it as `git branch` shows it, or leave it empty",
            ),
            Self::Glob => match glob_fault(text) {
                Some((message, hint)) => fault(Code::BadGlob, &message, hint),
                None => Ok(()),
            },
            Self::RepoPath if !is_repo_path(text) => fault(
                Code::BadPath,
                "is not a path inside the repository",
                "write it from the root of the repository, without `/` at the start and without `..`",
            ),
            Self::HostPath if text == "/" || !is_host_path(text) => fault(
                Code::BadPath,
                "is not an absolute path below `/`",
                "write it from `/`, without `..`",
            ),
            Self::Folder if !text.is_empty() && !is_host_path(text) => fault(
                Code::BadPath,
                "is not an absolute path",
                "write it from `/`, without `..`, or leave it empty",
            ),
            Self::LogFilter if !is_log_filter(text) => fault(
                Code::BadText,
                "is not a log filter",
                "write a level, or directives such as \"info,prentice::sandbox=debug\"",
            ),
            Self::Label => label_fault(text).map_or(Ok(()), |(message, hint)| {
                fault(Code::BadText, message, hint)
            }),
            Self::Login | Self::Reviewer => login_fault(text).map_or(Ok(()), |(message, hint)| {
                fault(Code::BadText, message, hint)
            }),
            Self::Prefix if !is_prefix(text) => fault(
                Code::BadText,
                "is nothing that a command can begin with",
                "write `/` or `@` and 1 to 19 of letters, digits, `-` and `_`, for example \"/agent\"",
            ),
            Self::Address if text.parse::<SocketAddr>().is_err() => fault(
                Code::BadAddress,
                "is not an address to listen on",
                "write an IP address and a port, for example \"127.0.0.1:8460\"",
            ),
            Self::PublicUrl | Self::BaseUrl if text.is_empty() => Ok(()),
            Self::PublicUrl => match url_fault(text, Host::is_loopback) {
                Some((message, hint)) => fault(Code::BadAddress, message, hint),
                None => Ok(()),
            },
            Self::BaseUrl => match url_fault(text, Host::is_near) {
                Some((message, hint)) => fault(Code::BadAddress, message, hint),
                None => Ok(()),
            },
            Self::Repositories if !is_repositories(text) => fault(
                Code::BadRepositories,
                "names no repositories",
                "write `owner/name`, or `owner/*` for all of an owner",
            ),
            _ => Ok(()),
        }
    }

    /// What it looks like, in words; goes on after "takes".
    pub(super) const fn takes(self) -> &'static str {
        match self {
            Self::Command => "a command",
            Self::Name => "a name of 1 to 30 characters from a-z, 0-9 and `-`",
            Self::Branch => "a branch name of a-z, 0-9, `-` and `/` that holds `{number}`",
            Self::Base => "a branch name, or \"\"",
            Self::Glob => "a path pattern",
            Self::RepoPath => "a path inside the repository",
            Self::HostPath => "an absolute path",
            Self::Folder => "an absolute path, or \"\"",
            Self::LogFilter => "a log level or filter",
            Self::Label => "a label of 1 to 50 characters, without comma, not `agent:…`",
            Self::Login => "the name of an account",
            Self::Reviewer => "`requester`, `codeowners` or the name of an account",
            Self::Prefix => "`/` or `@` and 1 to 19 of letters, digits, `-` and `_`",
            Self::Address => "an IP address and a port",
            Self::PublicUrl => "an https address without `/` at the end, or \"\"",
            Self::BaseUrl => {
                "an https address without `/` at the end (http in the own network), or \"\""
            }
            Self::Repositories => "`owner/name` or `owner/*`",
            Self::Argument => "a word of a command line",
        }
    }

    /// Several of it, in words; goes on after "a list of at most 20".
    pub(super) const fn many(self) -> &'static str {
        match self {
            Self::Command => "commands",
            Self::Name => "names",
            Self::Branch | Self::Base => "branch names",
            Self::Glob => "path patterns",
            Self::RepoPath => "paths inside the repository",
            Self::HostPath | Self::Folder => "absolute paths",
            Self::LogFilter => "log filters",
            Self::Label => "labels, none of them `agent:…`",
            Self::Login => "names of accounts",
            Self::Reviewer => "of `requester`, `codeowners` and names of accounts",
            Self::Prefix => "beginnings of commands",
            Self::Address | Self::PublicUrl | Self::BaseUrl => "addresses",
            Self::Repositories => "names `owner/name` or `owner/*`",
            Self::Argument => "words of a command line",
        }
    }

    /// The part of it that a regular expression of JSON Schema can say.
    pub(super) const fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Command => Some(r"\S"),
            Self::Name => Some("^[a-z0-9-]{1,30}$"),
            Self::Branch => {
                Some(r"^([a-z0-9/-]|\{slug\})*\{number\}([a-z0-9/-]|\{number\}|\{slug\})*$")
            }
            Self::Glob => Some("^[^/!]"),
            Self::RepoPath => Some("^[^/]"),
            Self::HostPath => Some("^/."),
            Self::Folder => Some("^(/|$)"),
            Self::Label => Some("^[^,]{1,50}$"),
            Self::Login | Self::Reviewer => Some(r"^[A-Za-z0-9_]([A-Za-z0-9._-]{0,99})(\[bot\])?$"),
            Self::Prefix => Some("^[/@][A-Za-z0-9_-]{1,19}$"),
            Self::Repositories => Some(r"^[A-Za-z0-9._-]{1,100}/(\*|[A-Za-z0-9._-]{1,100})$"),
            Self::Base
            | Self::LogFilter
            | Self::Address
            | Self::PublicUrl
            | Self::BaseUrl
            | Self::Argument => None,
        }
    }
}

/// Seconds of `90m`, `0`.
pub(super) fn duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    whole(number)?.checked_mul(match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    })
}

/// The shortest way to write a duration that a person would choose: `60m`, not `1h` or `3600s`.
pub(super) fn duration_text(secs: u64) -> String {
    if secs == 0 {
        return "0".to_owned();
    }
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    units
        .into_iter()
        .find(|(size, _)| secs.is_multiple_of(*size) && secs / size >= 2)
        .map_or_else(
            || format!("{secs}s"),
            |(size, unit)| format!("{}{unit}", secs / size),
        )
}

/// `2 hours` → `2h`, `1.5h` → `90m`.
pub(super) fn duration_meant(text: &str) -> Option<String> {
    let (number, unit) = number_and_unit(text)?;
    let size = match unit.as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 7.0 * 86_400.0,
        _ => return None,
    };
    Some(duration_text(rounded(number * size)?))
}

/// Bytes of `4GiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(3)?)?;
    let shift = SIZES.iter().find(|(name, _)| *name == unit)?.1;
    whole(number)?.checked_mul(1 << shift)
}

/// The largest unit that says it without a fraction; bytes that no unit fits stay bytes.
pub(super) fn size_text(bytes: u64) -> String {
    SIZES
        .iter()
        .find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift))
        .map_or_else(
            || format!("{bytes}B"),
            |(name, shift)| format!("{}{name}", bytes >> shift),
        )
}

/// `4 GB` → `4GiB`, `1.5g` → `1536MiB`.
pub(super) fn size_meant(text: &str) -> Option<String> {
    let (number, unit) = number_and_unit(text)?;
    let letter = unit.chars().next()?;
    let (_, shift) = SIZES
        .iter()
        .find(|(name, _)| name.to_lowercase().starts_with(letter))?;
    if !matches!(unit.get(1..), Some("" | "b" | "ib" | "ig" | "igs")) {
        return None;
    }
    let bytes = rounded(number * f64::from(1_u32 << 10) * f64::from(1_u32 << (shift - 10)))?;
    Some(size_text(bytes))
}

const SIZES: &[(&str, u32)] = &[("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// `[1-9][0-9]*`, as far as it fits.
fn whole(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    digits.then(|| text.parse().ok()).flatten()
}

/// `1.5 Hours` → 1.5 and `hours`.
fn number_and_unit(text: &str) -> Option<(f64, String)> {
    let text: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .take(40)
        .collect();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.to_lowercase()))
}

/// A number above zero as a whole one.
fn rounded(number: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was just looked at"
    )]
    (1.0..1e15)
        .contains(&number)
        .then_some(number.round() as u64)
}

fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=30).contains(&text.len()) && text.bytes().all(fits)
}

/// Letters, digits and `_`, no digit first, at most 128.
pub(super) fn is_variable(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn branch_fault(text: &str) -> Option<(&'static str, &'static str)> {
    if !text.contains("{number}") {
        return Some((
            "does not hold `{number}`",
            "put `{number}` where the number of the issue belongs, for example \"agent/{number}-{slug}\"",
        ));
    }
    let filled = text.replace("{number}", "1").replace("{slug}", "s");
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'/';
    if !filled.bytes().all(fits) {
        return Some((
            "holds what a task branch may not",
            "use `{number}`, `{slug}`, a-z, 0-9, `-` and `/`",
        ));
    }
    if filled.len() > 100 || !is_branch(&filled) {
        return Some((
            "makes no legal branch name",
            "at most 100 characters, no `/` at either end, no `//`, no `-` at the start",
        ));
    }
    None
}

fn label_fault(text: &str) -> Option<(&'static str, &'static str)> {
    if text.trim() != text || text.is_empty() {
        return Some((
            "is empty, or begins or ends with a space",
            "write the label as the forge shows it",
        ));
    }
    if text.chars().count() > 50 || text.contains(',') {
        return Some((
            "is no label that every forge has",
            "use 1 to 50 characters without a comma",
        ));
    }
    // Those show the stage: one that asked for a task would be put and removed by the bot itself.
    text.to_lowercase().starts_with("agent:").then_some((
        "is one of the labels that show the stage",
        "choose a label that does not start with `agent:`",
    ))
}

fn login_fault(text: &str) -> Option<(&'static str, &'static str)> {
    if text.starts_with('@') {
        return Some(("starts with `@`", "write the name alone"));
    }
    if text.contains('/') {
        return Some(("names a team", "teams are not in this version; name people"));
    }
    let bare = text.strip_suffix("[bot]").unwrap_or(text);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = bare.len() <= 100
        && bare.chars().all(fits)
        && bare.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    (!good).then_some((
        "is not the name of an account",
        "write it as the forge shows it, for example \"dana\"",
    ))
}

/// What stays one word in Markdown, and so is found again in a comment.
fn is_prefix(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let rest = text.strip_prefix(['/', '@']).unwrap_or_default();
    (1..=19).contains(&rest.len()) && rest.bytes().all(fits)
}

/// The rules of `git check-ref-format --branch`.
fn is_branch(text: &str) -> bool {
    let bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    text != "@"
        && !text.contains(bad)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.starts_with('-')
        && !text.ends_with('.')
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

fn glob_fault(text: &str) -> Option<(String, &'static str)> {
    let fault = |message: &str, hint| Some((message.to_owned(), hint));
    match text.chars().next() {
        None => fault(
            "is empty",
            "write a pattern such as \"src/**\", or remove the entry",
        ),
        Some('/') => fault(
            "starts with `/`",
            "patterns start at the root of the repository: leave the `/` away",
        ),
        Some('!') => fault(
            "is negated",
            "patterns cannot be negated; list what is meant",
        ),
        Some('.') if text.starts_with("./") || text.starts_with("../") => fault(
            "starts with `.` as a folder",
            "patterns start at the root of the repository: leave it away",
        ),
        Some(_) => globset::Glob::new(text).err().map(|error| {
            let message = format!("is not a path pattern: {}", error.kind());
            (
                message,
                "correct the brackets, or write `\\` before a character meant as itself",
            )
        }),
    }
}

fn is_repo_path(text: &str) -> bool {
    text.split('/')
        .all(|part| !matches!(part, "" | "." | ".." | ".git"))
}

fn is_host_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(|rest| {
        rest.is_empty()
            || rest
                .trim_end_matches('/')
                .split('/')
                .all(|part| !matches!(part, "" | "." | ".."))
    })
}

/// Whether it is a level, or directives. A word alone that is no level would be taken for the name of a library, and
/// nothing of ours be logged.
fn is_log_filter(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_:=,-.[]{}".contains(c);
    let is_level = ["error", "warn", "info", "debug", "trace"].contains(&text);
    let is_more = text.contains(['=', ',']) && text.chars().all(fits);
    is_level || (is_more && tracing_subscriber::EnvFilter::try_new(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_and_near_misses_are_understood() {
        for (text, secs) in [
            ("0", 0),
            ("1s", 1),
            ("90m", 5400),
            ("24h", 86_400),
            ("7d", 604_800),
        ] {
            assert_eq!(duration(text), Some(secs), "{text}");
        }
        for text in [
            "",
            "s",
            "00",
            "0s",
            "01m",
            "1",
            "1.5h",
            "1 h",
            "1H",
            "-1s",
            "1w",
            "+1s",
            "１s",
            "99999999999999999d",
            "1é",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        let meant = [
            ("2 hours", "2h"),
            ("1.5h", "90m"),
            ("90 Min", "90m"),
            ("1w", "7d"),
            ("1H", "60m"),
        ];
        for (text, short) in meant {
            assert_eq!(duration_meant(text).as_deref(), Some(short), "{text}");
        }
        for text in ["", "soon", "12", "0s", "1.2.3h", "5 parsecs"] {
            assert_eq!(duration_meant(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_for_a_duration_or_size_reads_back() {
        for secs in [
            0, 1, 59, 60, 90, 120, 3600, 5400, 7200, 86_400, 172_800, 1_209_600,
        ] {
            assert_eq!(duration(&duration_text(secs)), Some(secs));
        }
        for bytes in [1 << 10, 3 << 20, 1536 << 20, 4 << 30, 1 << 40] {
            assert_eq!(size(&size_text(bytes)), Some(bytes));
        }
        assert_eq!(
            [60, 3600, 7200, 86_400].map(duration_text),
            ["60s", "60m", "2h", "24h"]
        );
    }

    #[test]
    fn sizes_are_exact_and_near_misses_are_understood() {
        assert_eq!(size("4GiB"), Some(4 << 30));
        for text in [
            "",
            "GiB",
            "0GiB",
            "4GB",
            "4 GiB",
            "4gib",
            "4G",
            "1.5GiB",
            "99999999999TiB",
            "éGiB",
            "4é",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
        let meant = [
            ("4GB", "4GiB"),
            ("4 g", "4GiB"),
            ("4 gigs", "4GiB"),
            ("1.5GiB", "1536MiB"),
            ("512m", "512MiB"),
            ("2tb", "2TiB"),
        ];
        for (text, short) in meant {
            assert_eq!(size_meant(text).as_deref(), Some(short), "{text}");
        }
        for text in ["", "much", "4 parsecs", "4é", "0GB"] {
            assert_eq!(size_meant(text), None, "{text}");
        }
    }

    #[test]
    fn every_form_takes_what_it_should_and_nothing_else() {
        for (form, good, bad) in [
            (
                Form::Command,
                &["a", "set -e\n\tmake"][..],
                &["", " \n", "a\0b", "a\u{1b}"][..],
            ),
            (
                Form::Name,
                &["a", "unit-tests-2"],
                &["", "A", "a b", "ü", "a234567890123456789012345678901"],
            ),
            (
                Form::Branch,
                &["agent/{number}-{slug}", "{number}", "x/{slug}/{number}"],
                &[
                    "agent",
                    "A/{number}",
                    "/{number}",
                    "{number}/",
                    "a//{number}",
                    "-{number}",
                    "{number}{x}",
                    "a.{number}",
                    "{number} ",
                ],
            ),
            (
                Form::Base,
                &["", "main", "release/1.0", "ü"],
                &[
                    "a b", "a..b", "/a", "a/", "-a", "a.lock", "@", "a~1", ".a", "a/.b", "a.",
                ],
            ),
            (
                Form::Glob,
                &["**", "src/**/*.rs", "{a,b}", ".*/**", "[ab]"],
                &["", "/a", "!a", "./a", "../a", "[a", "{a"],
            ),
            (
                Form::RepoPath,
                &["AGENTS.md", "docs/a b.md"],
                &["", "/a", "../a", "a/../b", "a//b", ".git/config", "a/"],
            ),
            (
                Form::HostPath,
                &["/opt", "/opt/go/"],
                &["", "/", "opt", "/a/../b", "~/a", "//"],
            ),
            (Form::Folder, &["", "/srv/p", "/"], &["srv", "/a/.."]),
            (
                Form::LogFilter,
                &[
                    "info",
                    "info,prentice::sandbox=debug",
                    "prentice::web=trace",
                ],
                &["", "info; rm", "loud", "Info", "prentice", "prentice=loud"],
            ),
            (
                Form::Label,
                &["agent", "good first issue", "Ärger!", "agents:x"],
                &[
                    "",
                    " a",
                    "a ",
                    "a,b",
                    "agent:running",
                    "Agent:x",
                    &"a".repeat(51),
                ],
            ),
            (
                Form::Login,
                &["dana", "a.b-c_d", "renovate[bot]", "_x"],
                &[
                    "", "@dana", "org/team", "-a", "a b", "[bot]", "a[bot]b", "dänä",
                ],
            ),
            (
                Form::Reviewer,
                &["requester", "codeowners", "lee"],
                &["", "@lee", "org/team"],
            ),
            (
                Form::Prefix,
                &["/agent", "@my-bot_2", "/a", "/aaaaaaaaaaaaaaaaaaa"],
                &[
                    "",
                    "/",
                    "agent",
                    "/a b",
                    "//a",
                    "/a*",
                    "/aaaaaaaaaaaaaaaaaaaa",
                ],
            ),
        ] {
            for text in good {
                assert!(form.check(text).is_ok(), "{} {text:?}", form.many());
            }
            for text in bad {
                assert!(form.check(text).is_err(), "{} {text:?}", form.many());
            }
            assert!(form.check(&"a".repeat(8001)).is_err());
        }
    }
}
