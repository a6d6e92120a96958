//! What was seen of a forge, judged: a line each, with the page where it is changed.

use super::super::Line;
use super::{Asked, GROUP, SHARED_DAYS};
use crate::app::prepare::Prepared;
use crate::app::{AppError, Said};
use crate::config::{ForgeKind, ForgeSettings};
use crate::domain::ident::Time;
use crate::domain::policy::Right;
use crate::domain::settings::ChecksFrom;
use crate::domain::text;
use crate::forge::{self, About, Grant, Reach, Repository, Wanted};

/// A forge whose clock is further from ours gives and refuses tokens at the wrong time.
const SKEW_SECS: u64 = 60;

/// `main/team/thing/hook`.
pub(super) fn named(asked: &Asked<'_>, repository: &Repository, what: &str) -> String {
    format!("{}/{}/{what}", asked.forge.name, repository.name)
}

pub(super) fn answers(forge: &ForgeSettings, about: &About) -> Line {
    let at = match forge.base_url.as_str() {
        "" => "the public service",
        url => url,
    };
    let text = format!(
        "{}: {} answers at {at}; we are {}",
        forge.name, about.program, about.account.login
    );
    Line::ok(GROUP, format!("{}/account", forge.name), text)
}

/// A forge that does not say who we are: `wanted` would do.
pub(super) fn no_answer(forge: &ForgeSettings, why: &forge::Error, wanted: &Wanted) -> Line {
    let name = format!("{}/account", forge.name);
    let make = match is_app(forge) {
        // What an App may do is no matter of its key.
        true => format!(
            "make a new key at {}, put it where the old one is, and compare `app_id`",
            wanted.place
        ),
        false => format!(
            "make a new one with {} at {}, and put it where the old one is",
            wanted.needs.join(", "),
            wanted.place
        ),
    };
    let (text, fix) = match why {
        forge::Error::Auth { why } => (
            format!("{}: the credential is not accepted: {why}", forge.name),
            make,
        ),
        forge::Error::NotPermitted { what, .. } => (
            format!("{}: the token may not say whose it is: {what}", forge.name),
            make,
        ),
        other => {
            let said = Said::lower(&other.to_string());
            let fix = "compare `base_url`; is the forge there, and may this machine reach it?";
            (format!("{}: {}", forge.name, said.what), fix.to_owned())
        }
    };
    Line::fail(GROUP, name, text, fix)
}

/// Whether we are an App there, and no account.
pub(super) fn is_app(forge: &ForgeSettings) -> bool {
    forge.kind == ForgeKind::GitHub && forge.app_id != 0
}

pub(super) fn clock(forge: &ForgeSettings, there: Time, here: Time) -> Line {
    let name = format!("{}/clock", forge.name);
    let apart = there.0.abs_diff(here.0) / 1000;
    if apart <= SKEW_SECS {
        return Line::ok(
            GROUP,
            name,
            format!("{}: its clock and ours agree", forge.name),
        );
    }
    let which = match there > here {
        true => "behind",
        false => "ahead",
    };
    let text = format!(
        "{}: our clock is {} {which}; words would be taken for edited or for old, tokens for expired",
        forge.name,
        text::duration(apart * 1000)
    );
    Line::warn(
        GROUP,
        name,
        text,
        "`timedatectl set-ntp true` here, and on the forge's host",
    )
}

pub(super) fn nothing_there(asked: &Asked<'_>, wanted: &str) -> Line {
    let text = format!(
        "{wanted}: there is none that {} can see, so it is not served",
        asked.login
    );
    let fix = match (is_app(asked.forge), wanted.strip_suffix("/*")) {
        (true, _) => format!(
            "compare the name; the App has to be installed on it, at {}",
            asked.examine.access(wanted, None)
        ),
        (false, None) => format!(
            "compare the name; a private one needs {} as a collaborator who may write, at its {}",
            asked.login,
            asked.examine.access(wanted, None)
        ),
        (false, Some(owner)) => format!(
            "compare the name; private ones of {owner} need {} as a collaborator who may write",
            asked.login
        ),
    };
    Line::fail(
        GROUP,
        format!("{}/{wanted}/served", asked.forge.name),
        text,
        fix,
    )
}

/// A question that was not answered.
pub(super) fn unread(asked: &Asked<'_>, wanted: &str, why: &forge::Error) -> Line {
    let name = format!("{}/{wanted}/answers", asked.forge.name);
    match why {
        forge::Error::NotPermitted { what, setting } => Line::fail(
            GROUP,
            name,
            format!("{wanted}: not permitted: {what}"),
            format!("grant it in {setting}"),
        ),
        other => {
            let said = Said::lower(&format!("{wanted}: {other}"));
            let fix = match said.hint.as_str() {
                "" => "run this again; else look at the forge's log".to_owned(),
                hint => hint.to_owned(),
            };
            Line::fail(GROUP, name, said.what, fix)
        }
    }
}

pub(super) fn served(asked: &Asked<'_>, repository: &Repository) -> Line {
    let (name, repo, login) = (
        named(asked, repository, "served"),
        &repository.name,
        &asked.login,
    );
    if repository.archived {
        let fix = format!(
            "unarchive it at its Settings ({}/settings), or take it out of `[[forge]] repos`",
            repository.page
        );
        return Line::fail(
            GROUP,
            name,
            format!("{repo}: it is archived, so nothing can be written"),
            fix,
        );
    }
    let place = asked.examine.access(repo, Some(&repository.page));
    let give = match is_app(asked.forge) {
        true => accepted(&format!("give it contents: write at {place}")),
        false => format!("give it write at {place}"),
    };
    match repository.ours {
        Some(Right::Write | Right::Maintain) => {
            Line::ok(GROUP, name, format!("{repo}: served; {login} may write"))
        }
        Some(Right::Admin) => {
            let text =
                format!("{repo}: served; {login} administers it, which is more than is needed");
            let fix = format!("an account of its own with write is enough: {place}");
            Line::warn(GROUP, name, text, fix)
        }
        Some(Right::None | Right::Read | Right::Triage) => {
            let text =
                format!("{repo}: {login} may read but not write, so nothing can be published");
            Line::fail(GROUP, name, text, give)
        }
        None => Line::warn(
            GROUP,
            name,
            format!("{repo}: what {login} may do is unknown"),
            give,
        ),
    }
}

pub(super) fn granted(asked: &Asked<'_>, repository: &Repository, grants: &[Grant]) -> Line {
    let (name, repo) = (named(asked, repository, "rights"), &repository.name);
    let of = |held: Option<bool>| grants.iter().filter(move |one| one.held == held);
    let list = |held| {
        let words: Vec<String> = of(held)
            .map(|one| format!("{} ({})", one.name, one.why))
            .collect();
        words.join(", ")
    };
    if let Some(first) = of(Some(false)).next() {
        let names = |all: Vec<&Grant>| {
            let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            names.join(", ")
        };
        let fix = match is_app(asked.forge) {
            true => accepted(&format!(
                "give {} at {}",
                names(of(Some(false)).collect()),
                first.place
            )),
            // A token is not changed, but made anew with everything.
            false => format!("give {} at {}", names(grants.iter().collect()), first.place),
        };
        return Line::fail(
            GROUP,
            name,
            format!("{repo}: the credential lacks {}", list(Some(false))),
            fix,
        );
    }
    if let Some(first) = of(None).next() {
        let text = format!(
            "{repo}: the forge does not say whether the credential has {}",
            list(None)
        );
        return Line::warn(GROUP, name, text, format!("look at {}", first.place));
    }
    let names: Vec<&str> = grants.iter().map(|one| one.name.as_str()).collect();
    Line::ok(
        GROUP,
        name,
        format!("{repo}: the credential has {}", names.join(", ")),
    )
}

/// People did this much with our account, as far back as [`super::SHARED_DAYS`].
pub(super) fn shared(asked: &Asked<'_>, repository: &Repository, acts: u64) -> Line {
    let (login, repo) = (&asked.login, &repository.name);
    let times = match acts {
        1 => "once".to_owned(),
        acts => format!("{acts} times"),
    };
    let text = format!(
        "{repo}: somebody asked for something with the account {login} {times} in {SHARED_DAYS} days, and its acts never count"
    );
    let place = asked.examine.access(repo, Some(&repository.page));
    let fix = format!("ask with another account, or give prentice one of its own: {place}");
    Line::warn(GROUP, named(asked, repository, "shared"), text, fix)
}

/// A wider permission of an App waits for those who installed it.
fn accepted(give: &str) -> String {
    format!("{give}, then accept it where the App is installed")
}

pub(super) fn file(
    asked: &Asked<'_>,
    repository: &Repository,
    read: Result<Prepared, AppError>,
) -> Line {
    let (name, repo) = (named(asked, repository, "file"), &repository.name);
    let branch = &repository.default_branch;
    let prepared = match read {
        Ok(prepared) => prepared,
        Err(AppError::Config(mistakes)) => {
            let first = mistakes.list.first().map_or(String::new(), |one| {
                format!("{}:{}: {}", one.path, one.line, one.message)
            });
            let more = match mistakes.list.len() + mistakes.more {
                0 | 1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            let fix = format!(
                "mend it on {branch}; `prentice config check` in a clone shows every mistake"
            );
            return Line::fail(GROUP, name, format!("{repo}: {first}{more}"), fix);
        }
        Err(other) => {
            let said = other.said();
            let fix = match said.hint.as_str() {
                "" => "may git fetch it with this credential?".to_owned(),
                hint => hint.to_owned(),
            };
            return Line::fail(
                GROUP,
                name,
                format!("{repo}: its {branch} cannot be read: {}", said.what),
                fix,
            );
        }
    };
    let checks: Vec<&str> = prepared
        .settings
        .checks
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    let add = format!("add `.github/prentice.toml` with a [[verify]] to {branch}");
    match (prepared.settings.checks_from, &prepared.settings.file) {
        (ChecksFrom::Nowhere, _) => Line::fail(
            GROUP,
            name,
            format!("{repo}: nothing says how to verify it, so nothing can be done"),
            add,
        ),
        (ChecksFrom::Guess { .. }, _) => {
            let text = format!("{repo}: its checks are guessed: {}", checks.join(", "));
            Line::warn(GROUP, name, text, add)
        }
        (_, file) => {
            let file = file.as_deref().unwrap_or("the repository file");
            Line::ok(
                GROUP,
                name,
                format!("{repo}: {file} names {}", checks.join(", ")),
            )
        }
    }
}

pub(super) fn labelled(
    asked: &Asked<'_>,
    repository: &Repository,
    label: &str,
    there: bool,
) -> Line {
    let (name, repo) = (named(asked, repository, "label"), &repository.name);
    match there {
        true => Line::ok(GROUP, name, format!("{repo}: the label `{label}` is there")),
        false => {
            let make = format!("make it at Issues, Labels ({}/labels)", repository.page);
            let fix = match asked.forge.kind {
                ForgeKind::Gitea => format!("{make}, or run `prentice setup`"),
                ForgeKind::GitHub => make,
            };
            Line::warn(
                GROUP,
                name,
                format!("{repo}: there is no label `{label}` to ask with"),
                fix,
            )
        }
    }
}

pub(super) fn reaches(asked: &Asked<'_>, repository: &Repository, reach: &Reach) -> Line {
    let (name, repo, login) = (
        named(asked, repository, "merge"),
        &repository.name,
        &asked.login,
    );
    let word = |held: Option<bool>| match held {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    let branch = &repository.default_branch;
    let text = format!(
        "{repo}: could {login} merge into {branch}: {}; push to it: {}",
        word(reach.merge),
        word(reach.push)
    );
    match (reach.merge, reach.push) {
        (Some(false), Some(false)) => Line::ok(GROUP, name, text),
        (merge, push) => {
            let fix = match merge == Some(true) || push == Some(true) {
                true => format!(
                    "protect {branch} at {}: nobody pushes, and a list of people merges",
                    reach.place
                ),
                false => format!(
                    "look at {}: nobody should push, and people alone merge",
                    reach.place
                ),
            };
            Line::warn(GROUP, name, text, fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_minutes_off_is_told_with_its_side() {
        let forge = crate::config::gitea_forge("main", "https://git.example.org", &[], 0);
        let at = |secs: i64| Time(1_795_184_405_000 + secs * 1000);
        let told: Vec<String> = [(0, 60), (0, 300), (3_700, 0)]
            .into_iter()
            .map(|(there, here)| {
                let line = clock(&forge, at(there), at(here));
                format!("{} {}", line.state.name(), line.text)
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        ok main: its clock and ours agree
        warn main: our clock is 5 m 0 s ahead; words would be taken for edited or for old, tokens for expired
        warn main: our clock is 1 h 1 m behind; words would be taken for edited or for old, tokens for expired
        ");
    }
}
