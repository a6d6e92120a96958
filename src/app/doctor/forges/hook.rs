//! What is told of a webhook: what was sent by it, what of that came here, and what to do.

use super::super::Line;
use super::lines::{is_app, named};
use super::{Asked, DELIVERY, GROUP};
use crate::config::{ForgeKind, Server};
use crate::domain::ident::Time;
use crate::domain::text;
use crate::forge::{Deliveries, HookSeen, Repository};

/// What became of a test delivery.
pub(super) enum Tested {
    /// There was none: nobody was there to take it.
    Not,
    /// There was none: what is there does not tell what it takes.
    Unseen,
    /// The forge would not send one.
    Refused(String),
    /// Its signature was right.
    Arrived,
    /// Its signature was wrong.
    Wrong,
    /// Nothing came.
    Lost,
}

/// What is kept here of the deliveries of a forge, whichever repository they were of.
#[derive(Clone, Copy)]
pub(super) enum Kept {
    /// It could not be looked at.
    Unknown,
    /// None.
    None,
    /// The newest came so many milliseconds ago.
    Newest(u64),
}

impl Kept {
    pub(super) fn since(newest: Option<Time>, now: Time) -> Self {
        newest.map_or(Self::None, |at| {
            Self::Newest(u64::try_from(now.0 - at.0).unwrap_or(0))
        })
    }

    fn newest(self) -> Option<String> {
        match self {
            Self::Newest(ago) => Some(format!(
                "the last delivery of this forge came {} ago",
                text::duration(ago)
            )),
            Self::Unknown | Self::None => None,
        }
    }
}

/// The webhook of one repository, or of our App.
pub(super) fn hooked(
    asked: &Asked<'_>,
    repository: &Repository,
    (seen, tested): (HookSeen, Tested),
    kept: Kept,
    server: &Server,
) -> Line {
    let (name, repo) = (named(asked, repository, "hook"), &repository.name);
    let (forge, app) = (&asked.forge.name, is_app(asked.forge));
    match seen {
        HookSeen::Hidden { place } => {
            let text = format!("{repo}: {} may not see its webhooks", asked.login);
            if let Some(newest) = kept.newest() {
                return Line::ok(GROUP, name, format!("{text}; {newest}"));
            }
            let fix = match asked.forge.kind {
                ForgeKind::Gitea => format!(
                    "press \"Test Push Event\" at {place}, or run this with --admin-token-file"
                ),
                ForgeKind::GitHub => format!(
                    "it takes one to /hooks/{forge}, of application/json and with the secret in our variable; look at its Recent Deliveries at {place}"
                ),
            };
            let text = format!("{text}, and no delivery has come yet");
            Line::warn(GROUP, name, text, fix)
        }
        HookSeen::Missing { place } => {
            let text = format!("{repo}: no webhook sends to /hooks/{forge}");
            let fix = match app {
                true => {
                    format!(
                        "make it send to where this server is reached, /hooks/{forge}, at {place}"
                    )
                }
                false => format!("`prentice setup` makes it, or make it at {place}"),
            };
            // Who is asked anyway learns of everything, only later.
            match asked.forge.poll_secs {
                0 => Line::fail(GROUP, name, text, fix),
                _ => Line::warn(GROUP, name, text, fix),
            }
        }
        HookSeen::There {
            faults, place, url, ..
        } if !faults.is_empty() => {
            let text = format!(
                "{repo}: the webhook to {url} is set wrong: {}",
                faults.join("; ")
            );
            let fix = match app {
                true => format!("mend it at {place}"),
                false => format!("`prentice setup` mends it, or do it at {place}"),
            };
            Line::fail(GROUP, name, text, fix)
        }
        HookSeen::There {
            url,
            place,
            deliveries: Some(told),
            ..
        } => sent((name, repo), &url, &place, told, kept),
        HookSeen::There { url, place, .. } => {
            test((name, repo), (&url, &place), tested, kept, server)
        }
    }
}

/// Where the forge tells how its deliveries went.
fn sent(
    (name, repo): (String, &str),
    url: &str,
    place: &str,
    told: Deliveries,
    kept: Kept,
) -> Line {
    let (all, failed) = (told.all, told.failed);
    if all == 0 {
        let text = format!("{repo}: nothing was sent to {url} yet");
        let fix =
            format!("write a comment on an issue there, then look at the deliveries at {place}");
        return Line::warn(GROUP, name, text, fix);
    }
    if !Deliveries::is_taken(told.newest) {
        let what = match told.newest {
            Some(status) => format!("was answered with {status}"),
            None => "had no answer".to_owned(),
        };
        let since = match kept {
            Kept::Unknown => String::new(),
            Kept::None => "; none is kept here".to_owned(),
            Kept::Newest(ago) => format!(
                "; the last that is kept here came {} ago",
                text::duration(ago)
            ),
        };
        let why = match told.newest {
            Some(401) => "the secret there and the one in our variable differ",
            Some(404) => {
                "something else answers there, or no forge of this name is in the server file"
            }
            Some(503) => "the server could not store it; its log says why",
            _ => "is `prentice serve` running, and may the forge reach it?",
        };
        return Line::fail(
            GROUP,
            name,
            format!(
                "{repo}: the last delivery to {url} {what} ({failed} of the last {all} failed){since}"
            ),
            format!("{why}; see {place}"),
        );
    }
    if matches!(kept, Kept::None) {
        let text = format!("{repo}: the last delivery to {url} was taken, but none is kept here");
        let fix = format!(
            "does {url} lead to this server, and is this its data folder? what was answered stands at {place}"
        );
        return Line::warn(GROUP, name, text, fix);
    }
    let newest = kept
        .newest()
        .map_or(String::new(), |newest| format!("; {newest}"));
    let text = format!(
        "{repo}: the last delivery to {url} was taken ({failed} of the last {all} failed){newest}"
    );
    Line::ok(GROUP, name, text)
}

/// Where only a test delivery shows whether they arrive.
fn test(
    (name, repo): (String, &str),
    (url, place): (&str, &str),
    tested: Tested,
    kept: Kept,
    server: &Server,
) -> Line {
    let listen = &server.listen;
    match tested {
        Tested::Arrived => Line::ok(
            GROUP,
            name,
            format!("{repo}: a test delivery to {url} arrived, rightly signed"),
        ),
        Tested::Wrong => Line::fail(
            GROUP,
            name,
            format!("{repo}: a test delivery to {url} arrived with a wrong signature"),
            format!(
                "run `prentice setup` with --new-secret, or put the same secret at {place} and into our variable"
            ),
        ),
        Tested::Lost => Line::fail(
            GROUP,
            name,
            format!(
                "{repo}: a test delivery to {url} did not arrive within {} s",
                DELIVERY.as_secs()
            ),
            format!(
                "what became of it is told at {place}; Gitea sends to its own network only what `[webhook] ALLOWED_HOST_LIST` names"
            ),
        ),
        Tested::Refused(why) => Line::warn(
            GROUP,
            name,
            format!("{repo}: the webhook to {url} could not be tested: {why}"),
            format!("test it at {place}"),
        ),
        Tested::Not => Line::warn(
            GROUP,
            name,
            format!(
                "{repo}: the webhook to {url} was not tested, since nothing answers at {listen}"
            ),
            "start `prentice serve`, then run this again",
        ),
        Tested::Unseen if server.metrics => Line::warn(
            GROUP,
            name,
            format!(
                "{repo}: the webhook to {url} was not tested: what answers at {listen} does not tell which deliveries it took"
            ),
            "is that `prentice serve` with this server file? start it anew, then run this again",
        ),
        Tested::Unseen => {
            let text = format!(
                "{repo}: the webhook to {url} was not tested, since the server does not tell which deliveries it took (`[server] metrics = false`)"
            );
            match kept.newest() {
                Some(newest) => Line::ok(GROUP, name, format!("{text}; {newest}")),
                None => Line::warn(
                    GROUP,
                    name,
                    format!("{text}, and none is kept here"),
                    format!(
                        "test it at {place}: its answer should be 202; or set `metrics = true` until this has tested it"
                    ),
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_could_not_be_tested_is_told_with_the_reason_that_holds() {
        let told = |tested, metrics, kept| {
            let server = Server {
                metrics,
                ..Server::default()
            };
            let url = ("https://bot.test/hooks/main", "https://forge.test/settings");
            let line = test(("hook".to_owned(), "o/r"), url, tested, kept, &server);
            let fix = line.fix.map_or(String::new(), |fix| format!(" -> {fix}"));
            format!("{}: {}{fix}\n", line.state.name(), line.text)
        };
        let all = [
            told(Tested::Not, true, Kept::None),
            told(Tested::Not, false, Kept::None),
            told(Tested::Unseen, true, Kept::Newest(90_000)),
            told(Tested::Unseen, false, Kept::Newest(90_000)),
            told(Tested::Unseen, false, Kept::None),
        ];
        insta::assert_snapshot!(all.concat(), @"
        warn: o/r: the webhook to https://bot.test/hooks/main was not tested, since nothing answers at 127.0.0.1:8460 -> start `prentice serve`, then run this again
        warn: o/r: the webhook to https://bot.test/hooks/main was not tested, since nothing answers at 127.0.0.1:8460 -> start `prentice serve`, then run this again
        warn: o/r: the webhook to https://bot.test/hooks/main was not tested: what answers at 127.0.0.1:8460 does not tell which deliveries it took -> is that `prentice serve` with this server file? start it anew, then run this again
        ok: o/r: the webhook to https://bot.test/hooks/main was not tested, since the server does not tell which deliveries it took (`[server] metrics = false`); the last delivery of this forge came 1 m 30 s ago
        warn: o/r: the webhook to https://bot.test/hooks/main was not tested, since the server does not tell which deliveries it took (`[server] metrics = false`), and none is kept here -> test it at https://forge.test/settings: its answer should be 202; or set `metrics = true` until this has tested it
        ");
    }
}
