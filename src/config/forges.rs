//! `[[forge]]` of the server file: the hosts whose issues become tasks.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::explain::Code;
use super::forms::{Form, duration_text};
use super::kinds::{DAY, Kind, Section, Word, duration, key, words};
use super::read::{Many, Reader};

/// One `[[forge]]`, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeSettings {
    /// `[a-z0-9-]{1,30}`, unique; deliveries arrive at `/hooks/{name}`.
    pub name: String,
    /// Which program hosts it.
    pub kind: ForgeKind,
    /// Where it is, without slash at the end; empty = the public service, GitHub only.
    pub base_url: String,
    /// Number of the GitHub App; 0 = a token.
    pub app_id: u32,
    /// `owner/name` or `owner/*`; empty = none at all.
    pub repos: Vec<String>,
    /// How often it is asked what is new; 0 = only deliveries wake.
    pub poll_secs: u64,
    /// Whole runs, but nothing is written to the forge.
    pub shadow: bool,
    /// How the bot's commits are signed.
    pub signing: Signing,
}

/// Which program hosts a forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgeKind {
    /// GitHub and GitHub Enterprise Server.
    GitHub,
    /// Gitea and Forgejo.
    Gitea,
}

/// How the bot's commits are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Not at all.
    None,
    /// With an SSH key, `PRENTICE_FORGE_{NAME}_SIGNING_KEY`.
    Ssh,
}

impl Default for ForgeSettings {
    /// A `[[forge]]` that says nothing.
    fn default() -> Self {
        Self {
            name: "main".to_owned(),
            kind: ForgeKind::GitHub,
            base_url: String::new(),
            app_id: 0,
            repos: Vec::new(),
            poll_secs: 0,
            shadow: false,
            signing: Signing::None,
        }
    }
}

words!(ForgeKind { "github" = GitHub, "gitea" = Gitea });
words!(Signing { "none" = None, "ssh" = Ssh });

/// Shortest time between two polls that is not "never".
const POLL_MIN_SECS: u64 = 10;

/// The keys of a `[[forge]]`.
pub(super) static FORGE: Section<ForgeSettings> = Section {
    name: "forge",
    doc: "Hosts whose issues become tasks, zero or more. Credentials never stand here: they come from \
          `PRENTICE_FORGE_{NAME}_TOKEN`, `…_WEBHOOK_SECRET`, `…_PRIVATE_KEY` and `…_SIGNING_KEY`, or from the file \
          that the same variable with `_FILE` names; `-` in a name becomes `_`.",
    keys: &[
        key(
            "name",
            Kind::Text {
                form: Form::Name,
                at: |f| &mut f.name,
            },
            "Unique; its deliveries arrive at `/hooks/{name}`.",
        ),
        key(
            "kind",
            Kind::Word {
                words: &["github", "gitea"],
                at: |f| &mut f.kind,
            },
            "Which program hosts it; `gitea` is Forgejo too.",
        ),
        key(
            "base_url",
            Kind::Text {
                form: Form::BaseUrl,
                at: |f| &mut f.base_url,
            },
            "Where it is; empty = the public service, `github` only.",
        ),
        key(
            "app_id",
            Kind::Whole {
                min: 0,
                max: u32::MAX,
                at: |f| &mut f.app_id,
            },
            "Number of the GitHub App; 0 = a token. `github` only.",
        ),
        key(
            "repos",
            Kind::List {
                form: Form::Repositories,
                max: 1000,
                at: |f| &mut f.repos,
            },
            "Repositories served: `owner/name` or `owner/*`; empty = none.",
        ),
        key(
            "poll",
            duration(0, DAY, |f| &mut f.poll_secs),
            "How often it is asked what is new, to work without deliveries, at least 10s; \"0\" = never.",
        ),
        key(
            "shadow",
            Kind::Bool(|f| &mut f.shadow),
            "Whole runs with nothing written to the forge; results are in `prentice tasks` only.",
        ),
        key(
            "signing",
            Kind::Word {
                words: &["none", "ssh"],
                at: |f| &mut f.signing,
            },
            "How the bot's commits are signed.",
        ),
    ],
};

/// Every `[[forge]]`.
pub(super) fn forges(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Vec<ForgeSettings> {
    let many = Many {
        section: &FORGE,
        one: "forge",
        below: "`name`, `kind` and `repos`",
        max: 50,
        new: ForgeSettings::default,
        name: |forge| &forge.name,
        between: fit_together,
    };
    reader.tables(&many, value)
}

/// The rules between the keys of one forge.
fn fit_together(
    reader: &mut Reader<'_>,
    shown: &str,
    table: &DeTable<'_>,
    span: Range<usize>,
    forge: &ForgeSettings,
) {
    let at = |key: &str| table.get(key).map(Spanned::span);
    let path = |key: &str| format!("{shown}.{key}");
    // Who writes a credential here anyway should not see it printed.
    for (name, value) in table {
        if !FORGE
            .keys
            .iter()
            .any(|key| key.name == name.get_ref().as_ref())
        {
            reader.mask(value.span());
        }
    }
    let says_where = table
        .get("base_url")
        .is_some_and(|url| url.get_ref().as_str() != Some(""));
    if forge.kind == ForgeKind::Gitea && !says_where {
        reader.add(
            Code::ForgeKeys,
            at("base_url").or_else(|| at("kind")).unwrap_or(span),
            &path("base_url"),
            format!("the forge `{}` does not say where it is", forge.name),
            "add `base_url`, for example \"https://git.example.org\": only GitHub has a public service that is meant",
        );
    }
    if let (ForgeKind::Gitea, 1.., Some(span)) = (forge.kind, forge.app_id, at("app_id")) {
        reader.add(
            Code::ForgeKeys,
            span,
            &path("app_id"),
            "`app_id` is for GitHub only",
            "remove it; Gitea and Forgejo take the token of an account",
        );
    }
    if let (1..POLL_MIN_SECS, Some(span)) = (forge.poll_secs, at("poll")) {
        reader.add(
            Code::OutOfRange,
            span,
            &path("poll"),
            format!("`{}` is outside its range", path("poll")),
            format!(
                "takes \"0\", or a duration from {} to {}",
                duration_text(POLL_MIN_SECS),
                duration_text(DAY)
            ),
        );
    }
}

/// `owner/name` or `owner/*`.
pub(super) fn is_repositories(text: &str) -> bool {
    let fits = |part: &str| {
        (1..=100).contains(&part.len())
            && !matches!(part, "." | "..")
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    text.split_once('/')
        .is_some_and(|(owner, name)| fits(owner) && (name == "*" || fits(name)))
}

/// Why a text is no address that may be used: what is wrong, and what to do. `near` says whether plain HTTP is fine
/// for this host.
pub(super) fn url_fault(
    text: &str,
    near: fn(&Host) -> bool,
) -> Option<(&'static str, &'static str)> {
    let (plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Some(("is not an https address", "start it with `https://`")),
    };
    if text.ends_with('/') {
        return Some(("ends with `/`", "leave the `/` at the end away"));
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Some((
            "holds a user name",
            "leave it away; credentials come from the environment",
        ));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    let Some(host) = Host::of(authority).filter(|_| path.bytes().all(fits)) else {
        return Some((
            "is not an address",
            "write it as in a browser, without `?` and `#`",
        ));
    };
    (plain && !near(&host)).then_some(("would send in the clear what is secret", "use `https://`"))
}

/// The host part of an address.
pub(super) enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Host {
    fn of(authority: &str) -> Option<Self> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (ip, port) = rest.split_once(']')?;
                let ip: Ipv6Addr = ip.parse().ok()?;
                (Self::Ip(ip.into()), port)
            }
            None => {
                let at = authority.find(':').unwrap_or(authority.len());
                let (host, port) = authority.split_at_checked(at)?;
                let fits = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
                let is_name = (1..=253).contains(&host.len())
                    && host.bytes().all(fits)
                    && host.split('.').all(|label| !label.is_empty());
                match host.parse::<IpAddr>() {
                    Ok(ip) => (Self::Ip(ip), port),
                    Err(_) if is_name => (Self::Name(host.to_owned()), port),
                    Err(_) => return None,
                }
            }
        };
        let digits = port.strip_prefix(':');
        let good = port.is_empty() || digits?.parse::<u16>().is_ok_and(|port| port > 0);
        good.then_some(host)
    }

    /// This machine.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }

    /// This machine or its own network: private addresses, and names without a dot, which are those of containers
    /// side by side.
    pub(super) fn is_near(&self) -> bool {
        self.is_loopback()
            || match self {
                Self::Ip(IpAddr::V4(ip)) => ip.is_private(),
                Self::Ip(IpAddr::V6(ip)) => ip.is_unique_local(),
                Self::Name(name) => !name.contains('.'),
            }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{server, show_server};

    fn told(text: &str) -> String {
        let file = Some(("server.toml", text.as_bytes()));
        server(file, &BTreeMap::new()).unwrap_err().to_string()
    }

    #[test]
    fn forges_are_read_with_their_defaults_and_shown_as_written() {
        let text = "version = 1\n[[forge]]\nrepos = [\"a/b\"]\n[[forge]]\nname = \"our-gitea\"\nkind = \"gitea\"\n\
            base_url = \"https://git.example.org/sub\"\nrepos = [\"team/*\", \"a/b.c\"]\npoll = \"60s\"\nshadow = true\nsigning = \"ssh\"\n";
        let file = Some(("server.toml", text.as_bytes()));
        let (server_settings, origins) = server(file, &BTreeMap::new()).unwrap();
        let shown = show_server(&server_settings, &origins, true);
        let (again, _) = server(Some(("s", shown.as_bytes())), &BTreeMap::new()).unwrap();
        assert_eq!(again, server_settings);
        insta::assert_snapshot!(shown.split_once("\n\n").unwrap().1, @r#"
        [[forge]]
        name = "main"  # default
        kind = "github"  # default
        base_url = ""  # default
        app_id = 0  # default
        repos = ["a/b"]  # server.toml:3
        poll = "0"  # default
        shadow = false  # default
        signing = "none"  # default

        [[forge]]
        name = "our-gitea"  # server.toml:5
        kind = "gitea"  # server.toml:6
        base_url = "https://git.example.org/sub"  # server.toml:7
        app_id = 0  # default
        repos = ["team/*", "a/b.c"]  # server.toml:8
        poll = "60s"  # server.toml:9
        shadow = true  # server.toml:10
        signing = "ssh"  # server.toml:11
        "#);
    }

    #[test]
    fn keys_that_do_not_fit_together_are_told_where_they_stand() {
        insta::assert_snapshot!(told(
            "version = 1\n[[forge]]\nkind = \"gitea\"\napp_id = 7\npoll = \"5s\"\n[[forge]]\nname = \"main\"\nrepos = [\"a\"]\n\
             [[forge]]\nname = \"x\"\nkind = \"gitea\"\nbase_url = \"http://git.example.org\"\ntoken = \"s\"\n"
        ), @r#"
        error[PRN224]: the forge `main` does not say where it is
          ┌ server.toml:3:8
        3 │ kind = "gitea"
          │        ^^^^^^^ add `base_url`, for example "https://git.example.org": only GitHub has a public service that is meant
        error[PRN224]: `app_id` is for GitHub only
          ┌ server.toml:4:10
        4 │ app_id = 7
          │          ^ remove it; Gitea and Forgejo take the token of an account
        error[PRN205]: `forge[0].poll` is outside its range
          ┌ server.toml:5:8
        5 │ poll = "5s"
          │        ^^^^ takes "0", or a duration from 10s to 24h
        error[PRN214]: two forges are named `main`
          ┌ server.toml:7:8
        7 │ name = "main"
          │        ^^^^^^ choose another name, line 2 has it
        error[PRN223]: `forge[1].repos[0]` names no repositories
          ┌ server.toml:8:10
        8 │ repos = ["a"]
          │          ^^^ write `owner/name`, or `owner/*` for all of an owner
        error[PRN222]: `forge[2].base_url` would send in the clear what is secret
           ┌ server.toml:12:12
        12 │ base_url = "http://git.example.org"
           │            ^^^^^^^^^^^^^^^^^^^^^^^^ use `https://`
        error[PRN203]: unknown key `token` in [forge]
           ┌ server.toml:13:1
        13 │ token = ···
           │ ^^^^^ no such key
           = allowed here: name, kind, base_url, app_id, repos, poll, shadow, signing
        7 errors. Nothing was started. Explain: prentice explain PRN224
        "#);
        insta::assert_snapshot!(told("version = 1\nforge = [1]\n"), @"
        error[PRN204]: each forge is a table
          ┌ server.toml:2:10
        2 │ forge = [1]
          │          ^ write `[[forge]]` with `name`, `kind` and `repos` below it
        1 error. Nothing was started. Explain: prentice explain PRN204
        ");
        insta::assert_snapshot!(told("version = 1\n[forge]\nname = \"a\"\n"), @"
        error[PRN204]: [forge] is a list of tables, not one table
          ┌ server.toml:2:1
        2 │ [forge]
          │ ^^^^^^^ write `[[forge]]` with double brackets, once for each forge
        1 error. Nothing was started. Explain: prentice explain PRN204
        ");
    }

    #[test]
    fn repositories_are_named_whole_or_by_their_owner() {
        for good in ["a/b", "a/*", "A-b.c/d_e.f"] {
            assert!(is_repositories(good), "{good}");
        }
        for bad in [
            "", "a", "a/", "/b", "*/b", "*", "a/b/c", "a/b*", "a /b", "a/..", "é/b",
        ] {
            assert!(!is_repositories(bad), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_for_the_own_machine_and_network() {
        let at = |text: &str, near: fn(&Host) -> bool| url_fault(text, near).map(|(what, _)| what);
        for good in [
            "https://git.example.org",
            "https://git.example.org:8443/gitea",
            "https://[2001:db8::1]:443",
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:3000",
        ] {
            assert_eq!(at(good, Host::is_loopback), None, "{good}");
        }
        for near in [
            "http://gitea:3000",
            "http://10.0.0.7",
            "http://192.168.1.1:80",
        ] {
            assert_eq!(at(near, Host::is_near), None, "{near}");
            assert!(at(near, Host::is_loopback).is_some(), "{near}");
        }
        for bad in [
            "",
            "git.example.org",
            "ftp://a",
            "https://",
            "https://a/",
            "https://u:p@a",
            "https://a?b",
            "https://a#b",
            "https://a b",
            "https://a:0",
            "https://a:b",
            "https://a..b",
            "https://[::1",
            "http://git.example.org",
            "http://8.8.8.8",
            "http://localhost.example.org",
        ] {
            assert!(at(bad, Host::is_near).is_some(), "{bad}");
        }
    }
}
