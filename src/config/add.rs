//! A forge put into the server file: into a new one, or below what stands in one that is there, of which nothing is
//! changed.

use std::fmt::Write as _;

use super::describe::literal;
use super::environment::Env;
use super::forges::{ForgeKind, ForgeSettings, Host, is_repositories, url_fault};
use super::forms::duration_text;
use super::kinds::Word as _;
use super::mistakes::Mistakes;
use super::server::{Server, server};

/// What is to be in the server file.
pub struct NewForge<'a> {
    /// The forge.
    pub forge: &'a ForgeSettings,
    /// `[server] listen`, where it is to be another than the built-in one.
    pub listen: Option<&'a str>,
    /// Program and arguments of `[agents.default]`; empty = none.
    pub agent: &'a [String],
}

/// The server file afterwards.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// All of it stands there.
    WasThere,
    /// The whole text to write.
    Text(String),
}

/// Why a forge was not put into a server file. Nothing of a file that is there is ever changed.
#[derive(Debug, thiserror::Error)]
pub enum NotAdded {
    /// The file, or what was to be added, has mistakes.
    #[error("the server file has mistakes")]
    Mistakes(Box<Mistakes>),
    /// It says something else of the same thing.
    #[error("{what}; {hint}")]
    Differs {
        /// What it says.
        what: String,
        /// What to do.
        hint: String,
    },
}

/// The text of the server file with `new` in it. `file` is the name to show, and the bytes where there is a file.
///
/// # Errors
/// [`NotAdded`]: nothing is to be written then.
pub fn add_forge(
    (path, bytes): (&str, Option<&[u8]>),
    new: &NewForge<'_>,
) -> Result<Added, NotAdded> {
    let mistakes = |found| NotAdded::Mistakes(Box::new(found));
    // What variables say over it is of this process only.
    let none = Env::new();
    let text = match bytes {
        None => format!(
            "# Made by `prentice setup`. Every key with its value: `prentice config show --server`.\nversion = 1\n{}{}{}",
            listen_text(new),
            forge_text(new.forge),
            agent_text(new.agent)
        ),
        Some(bytes) => {
            let (now, _) = server(Some((path, bytes)), &none).map_err(mistakes)?;
            let is_there = known(&now, new, path)?;
            let with_agent = agent_there(&now, new, path)?;
            if is_there && with_agent {
                return Ok(Added::WasThere);
            }
            let mut text = String::from_utf8_lossy(bytes).trim_end().to_owned() + "\n";
            if !is_there {
                text += &forge_text(new.forge);
            }
            if !with_agent {
                text += &agent_text(new.agent);
            }
            text
        }
    };
    // Below a file that is written in another way it may mean something else.
    let (then, _) = server(Some((path, text.as_bytes())), &none).map_err(mistakes)?;
    match known(&then, new, path)? && agent_there(&then, new, path)? {
        true => Ok(Added::Text(text)),
        false => Err(NotAdded::Differs {
            what: format!("nothing can be added below what stands in {path}"),
            hint: "add it yourself".to_owned(),
        }),
    }
}

/// Whether the forge stands there as it is wanted.
fn known(now: &Server, new: &NewForge<'_>, path: &str) -> Result<bool, NotAdded> {
    let wanted = new.forge;
    let Some(there) = now.forges.iter().find(|one| one.name == wanted.name) else {
        listens(now, new, path)?;
        return Ok(false);
    };
    let differs = |what: String| NotAdded::Differs {
        what: format!("{path} has a forge `{}` already, {what}", wanted.name),
        hint: "edit it there, or choose another name with --name".to_owned(),
    };
    if (there.kind, &there.base_url, there.app_id) != (wanted.kind, &wanted.base_url, wanted.app_id)
    {
        let at = match there.base_url.as_str() {
            "" => "the public service",
            url => url,
        };
        return Err(differs(format!("which is {} at {at}", there.kind.word())));
    }
    let serves = |repo: &String| {
        let owner = repo.split_once('/').map(|(owner, _)| format!("{owner}/*"));
        let mut all = there.repos.iter();
        all.any(|one| {
            one.eq_ignore_ascii_case(repo)
                || owner
                    .as_ref()
                    .is_some_and(|of| one.eq_ignore_ascii_case(of))
        })
    };
    if let Some(missing) = wanted.repos.iter().find(|repo| !serves(repo)) {
        return Err(differs(format!("which does not serve {missing}")));
    }
    listens(now, new, path)?;
    Ok(true)
}

/// Whether it listens where it is to.
fn listens(now: &Server, new: &NewForge<'_>, path: &str) -> Result<(), NotAdded> {
    if let Some(listen) = new.listen
        && now.listen != listen
    {
        return Err(NotAdded::Differs {
            what: format!("{path} listens on {}, not on {listen}", now.listen),
            hint: "change `[server] listen` there, or leave --listen away".to_owned(),
        });
    }
    Ok(())
}

/// Whether the agent stands there, or none is wanted.
fn agent_there(now: &Server, new: &NewForge<'_>, path: &str) -> Result<bool, NotAdded> {
    match (new.agent, now.agent.command.as_slice()) {
        ([], _) => Ok(true),
        (_, []) => Ok(false),
        (wanted, there) if wanted == there => Ok(true),
        _ => Err(NotAdded::Differs {
            what: format!("{path} has another agent already"),
            hint: "edit `[agents.default]` there, or leave --agent-cmd away".to_owned(),
        }),
    }
}

fn listen_text(new: &NewForge<'_>) -> String {
    new.listen.map_or(String::new(), |listen| {
        format!("\n[server]\nlisten = {}\n", literal(&listen.into()))
    })
}

fn forge_text(forge: &ForgeSettings) -> String {
    let text = |value: &str| literal(&value.into());
    let mut out = format!(
        "\n[[forge]]\nname = {}\nkind = {}\n",
        text(&forge.name),
        text(forge.kind.word())
    );
    // Writing to a string cannot fail.
    if !forge.base_url.is_empty() {
        let _ = writeln!(out, "base_url = {}", text(&forge.base_url));
    }
    if forge.app_id != 0 {
        let _ = writeln!(out, "app_id = {}", forge.app_id);
    }
    let _ = writeln!(out, "repos = {}", literal(&forge.repos.clone().into()));
    if forge.poll_secs != 0 {
        let _ = writeln!(out, "poll = {}", text(&duration_text(forge.poll_secs)));
    }
    out
}

fn agent_text(agent: &[String]) -> String {
    match agent {
        [] => String::new(),
        words => format!("\n[agents.default]\ncommand = {}\n", literal(&words.into())),
    }
}

/// Why `text` is no address of a server in the own network or behind TLS: what is wrong, and what to do.
#[must_use]
pub fn address_fault(text: &str) -> Option<(&'static str, &'static str)> {
    url_fault(text, Host::is_near)
}

/// Whether `text` is `owner/name`.
#[must_use]
pub fn is_repository(text: &str) -> bool {
    is_repositories(text) && !text.ends_with("/*")
}

/// A Gitea or Forgejo of these repositories.
#[must_use]
pub fn gitea_forge(name: &str, base_url: &str, repos: &[String], poll_secs: u64) -> ForgeSettings {
    ForgeSettings {
        name: name.to_owned(),
        kind: ForgeKind::Gitea,
        base_url: base_url.to_owned(),
        repos: repos.to_vec(),
        poll_secs,
        ..ForgeSettings::default()
    }
}

/// A GitHub, its App to be numbered.
#[must_use]
pub fn github_forge(
    (name, base_url): (&str, &str),
    app_id: u32,
    repos: &[String],
    poll_secs: u64,
) -> ForgeSettings {
    ForgeSettings {
        kind: ForgeKind::GitHub,
        app_id,
        ..gitea_forge(name, base_url, repos, poll_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(bytes: Option<&str>, agent: &[&str], listen: Option<&str>) -> String {
        let forge = gitea_forge(
            "main",
            "https://git.example.org",
            &["team/thing".to_owned()],
            60,
        );
        let agent: Vec<String> = agent.iter().map(|word| (*word).to_owned()).collect();
        let new = NewForge {
            forge: &forge,
            listen,
            agent: &agent,
        };
        match add_forge(("server.toml", bytes.map(str::as_bytes)), &new) {
            Ok(Added::Text(text)) => text,
            Ok(Added::WasThere) => "was there".to_owned(),
            Err(NotAdded::Mistakes(found)) => found.to_string(),
            Err(differs) => differs.to_string(),
        }
    }

    #[test]
    fn a_new_file_is_whole_and_says_it_all_again_without_change() {
        let agent = ["sh", "-c", "echo \"a\\b\""];
        let text = added(None, &agent, Some("127.0.0.1:9000"));
        assert_eq!(
            added(Some(&text), &agent, Some("127.0.0.1:9000")),
            "was there"
        );
        insta::assert_snapshot!(text, @r#"
        # Made by `prentice setup`. Every key with its value: `prentice config show --server`.
        version = 1

        [server]
        listen = "127.0.0.1:9000"

        [[forge]]
        name = "main"
        kind = "gitea"
        base_url = "https://git.example.org"
        repos = ["team/thing"]
        poll = "60s"

        [agents.default]
        command = ["sh", "-c", "echo \"a\\b\""]
        "#);
    }

    #[test]
    fn what_stands_in_a_file_stays_as_it_is_written() {
        let old =
            "# mine\nversion = 1\n[[forge]]\nname = \"hub\"   # the other one\nrepos = [\"a/b\"]";
        let text = added(Some(old), &["agent"], None);
        assert!(text.starts_with(old), "{text}");
        insta::assert_snapshot!(text, @r#"
        # mine
        version = 1
        [[forge]]
        name = "hub"   # the other one
        repos = ["a/b"]

        [[forge]]
        name = "main"
        kind = "gitea"
        base_url = "https://git.example.org"
        repos = ["team/thing"]
        poll = "60s"

        [agents.default]
        command = ["agent"]
        "#);
    }

    #[test]
    fn a_file_that_says_otherwise_is_refused_with_what_it_says() {
        let of = |forge: &str| format!("version = 1\n[[forge]]\n{forge}\n");
        let here = "kind = \"gitea\"\nbase_url = \"https://git.example.org\"\n";
        let told = [
            added(Some(&of("repos = [\"team/thing\"]")), &[], None),
            added(
                Some(&of(&format!("{here}repos = [\"team/other\"]"))),
                &[],
                None,
            ),
            added(Some(&of(&format!("{here}repos = [\"team/*\"]"))), &[], None),
            added(
                Some(&of(&format!(
                    "{here}repos = [\"team/*\"]\n[agents.default]\ncommand = [\"x\"]"
                ))),
                &["y"],
                None,
            ),
            added(Some("version = 1\n"), &[], Some("127.0.0.1:9000")),
            added(Some("version = 2\n"), &[], None),
        ];
        insta::assert_snapshot!(told.join("\n"), @"
        server.toml has a forge `main` already, which is github at the public service; edit it there, or choose another name with --name
        server.toml has a forge `main` already, which does not serve team/thing; edit it there, or choose another name with --name
        was there
        server.toml has another agent already; edit `[agents.default]` there, or leave --agent-cmd away
        server.toml listens on 127.0.0.1:8460, not on 127.0.0.1:9000; change `[server] listen` there, or leave --listen away
        error[PRN106]: `version` is not one this program knows
          ┌ server.toml:1:11
        1 │ version = 2
          │           ^ this program reads version 1
        1 error. Nothing was started. Explain: prentice explain PRN106
        ");
    }
}
