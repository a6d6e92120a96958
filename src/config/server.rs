//! The server file: what the operator allows, and what a repository gets that asks for nothing.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Origins;
use super::environment::{Env, at_variable, variables};
use super::explain::Code;
use super::forges::{FORGE, ForgeSettings, forges};
use super::forms::{duration_text, size_text};
use super::kinds::{Word, words};
use super::mistakes::Mistakes;
use super::read::{self, Reader};
use super::server_keys::SERVER;
use crate::domain::policy::Right;
use crate::domain::settings::{CommentsFrom, GatePolicy, RefereeOn};

/// The operator's settings, resolved. Durations are whole seconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where everything is kept; empty = by the environment, see [`data_dir`].
    pub data_dir: String,
    /// Level or filter directives of `tracing`.
    pub log: String,
    /// How logs are written.
    pub log_format: LogFormat,
    /// `ip:port` that deliveries and pages are served on.
    pub listen: String,
    /// Where `listen` is reached from outside, without slash at the end; empty = nowhere.
    pub public_url: String,
    /// Whether `/metrics` is served.
    pub metrics: bool,
    /// How long work under way may go on when the program is to end.
    pub shutdown_grace_secs: u64,
    /// Every `[[forge]]`.
    pub forges: Vec<ForgeSettings>,
    /// `[agents.default]`.
    pub agent: AgentProfile,
    /// `[workers]`.
    pub workers: Workers,
    /// `[sandbox]`.
    pub sandbox: ServerSandbox,
    /// `[policy]`.
    pub policy: Policy,
    /// `[retention]`.
    pub retention: Retention,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[workers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Runs at the same time.
    pub slots: u32,
    /// Of those, runs in one repository.
    pub per_repo: u32,
    /// How often a worker shows that it lives.
    pub heartbeat_secs: u64,
    /// Without a heartbeat for that long, its work is given to another. More than two heartbeats.
    pub lost_after_secs: u64,
}

/// Which launcher makes sandboxes. There is no "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// The first that works here.
    Auto,
    /// Our own.
    Native,
}

/// `[sandbox]` of the server file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSandbox {
    /// Absolute host paths made readable inside.
    pub toolchains: Vec<String>,
    /// Which launcher.
    pub kind: Launcher,
    /// Thousandths of a processor, where the repository asks for nothing.
    pub cpu_millis: u32,
    /// Memory, likewise.
    pub memory_bytes: u64,
    /// Bytes written, likewise.
    pub disk_bytes: u64,
    /// Processes and threads, likewise.
    pub pids: u32,
}

/// `[policy]`: the most that a repository may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of `task.timeout`.
    pub timeout_secs: u64,
    /// Of `task.max_rounds`.
    pub max_rounds: u32,
    /// Of `sandbox.cpus`, in thousandths.
    pub cpu_millis: u32,
    /// Of `sandbox.memory`.
    pub memory_bytes: u64,
    /// Of `sandbox.disk`.
    pub disk_bytes: u64,
    /// Of `sandbox.pids`.
    pub pids: u32,
    /// Of `scope.protected_policy`: the stricter one holds.
    pub protected_policy: GatePolicy,
    /// Of `scope.dependencies`: the stricter one holds.
    pub dependencies: GatePolicy,
    /// Of `trigger.allow`: the higher one holds.
    pub trigger_allow_min: Right,
    /// Of `context.comments_from`: the stricter one holds.
    pub comments_from_min: CommentsFrom,
    /// Of `trigger.verify`: the narrower one holds.
    pub verify_max: RefereeOn,
    /// What happens where a push of ours would run workflows that hold secrets, or that run on machines of one's own.
    pub ci_exposure: CiExposure,
}

/// What happens where a push of ours would run workflows that hold secrets, or that run on machines of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CiExposure {
    /// A person is asked, once for each repository and state of its workflows.
    Ask,
    /// It is pushed.
    Allow,
}

/// `[agents.default]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentProfile {
    /// Program and arguments; empty = this server has no agent.
    pub command: Vec<String>,
}

/// `[retention]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Logs of finished tasks.
    pub logs_secs: u64,
    /// Deliveries that were read.
    pub deliveries_secs: u64,
    /// Finished tasks and their journals.
    pub tasks_secs: u64,
}

impl Default for Server {
    /// The built-in values: what holds without a server file.
    fn default() -> Self {
        Self {
            data_dir: String::new(),
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
            listen: "127.0.0.1:8460".to_owned(),
            public_url: String::new(),
            metrics: true,
            shutdown_grace_secs: 30,
            forges: Vec::new(),
            agent: AgentProfile::default(),
            workers: Workers {
                slots: 2,
                per_repo: 1,
                heartbeat_secs: 15,
                lost_after_secs: 120,
            },
            sandbox: ServerSandbox {
                toolchains: Vec::new(),
                kind: Launcher::Auto,
                cpu_millis: 2000,
                memory_bytes: 4 << 30,
                disk_bytes: 10 << 30,
                pids: 512,
            },
            policy: Policy {
                timeout_secs: 2 * 60 * 60,
                max_rounds: 10,
                cpu_millis: 8000,
                memory_bytes: 16 << 30,
                disk_bytes: 40 << 30,
                pids: 2048,
                protected_policy: GatePolicy::Approve,
                dependencies: GatePolicy::Approve,
                trigger_allow_min: Right::Triage,
                comments_from_min: CommentsFrom::Write,
                verify_max: RefereeOn::Label,
                ci_exposure: CiExposure::Ask,
            },
            retention: Retention {
                logs_secs: 90 * 24 * 60 * 60,
                deliveries_secs: 14 * 24 * 60 * 60,
                tasks_secs: 400 * 24 * 60 * 60,
            },
        }
    }
}

words!(LogFormat { "auto" = Auto, "text" = Text, "json" = Json });
words!(Launcher { "auto" = Auto, "native" = Native });
words!(CiExposure { "ask" = Ask, "allow" = Allow });

/// What the server file says over the built-in values, and what `PRENTICE_SECTION__KEY`
/// variables say over both. `file` is the name to show and the bytes, where there is a file.
///
/// # Errors
///
/// Every mistake of the file, then every mistake of the variables.
pub fn server(file: Option<(&str, &[u8])>, env: &Env) -> Result<(Server, Origins), Mistakes> {
    let (path, bytes) = file.unwrap_or(("server.toml", b"version = 1\n"));
    let mut server = Server::default();
    let text = match read::text(path, bytes) {
        Ok(text) => text,
        Err(mistakes) => {
            let of_env = variables(&mut server, env).err();
            return Err(of_env.map_or(mistakes.clone(), |more| mistakes.and(more)));
        }
    };
    let (mut reader, table) = Reader::new(path, text);
    reader.version(&table);
    for (name, value) in &table {
        match SERVER
            .iter()
            .find(|section| section.name == name.get_ref().as_ref())
        {
            Some(section) => reader.section(section, value, &mut server),
            None if name.get_ref() == "version" => {}
            None if name.get_ref() == FORGE.name => server.forges = forges(&mut reader, value),
            None if name.get_ref() == "agents" => agents(&mut reader, value, &mut server),
            None => reader.unknown_top(name, value, &homes()),
        }
    }
    let of_env = variables(&mut server, env);
    let between = between_keys(&mut reader, &table, &server, env);
    let all = [reader.end(()).map(|((), origins)| origins), of_env, between];
    let mut origins = Origins::default();
    let mut mistakes: Option<Mistakes> = None;
    for part in all {
        match part {
            Ok(more) => origins.0.extend(more.0),
            Err(more) => mistakes = Some(mistakes.map_or(more.clone(), |some| some.and(more))),
        }
    }
    mistakes.map_or(Ok((server, origins)), Err)
}

/// `[agents.NAME]`: this version has one profile.
fn agents(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, server: &mut Server) {
    let profile = SERVER
        .iter()
        .find(|section| section.name == "agents.default");
    match (value.get_ref().as_table(), profile) {
        (Some(table), Some(profile)) => {
            for (name, value) in table {
                match name.get_ref() == "default" {
                    true => reader.section(profile, value, server),
                    false => reader.unknown_top(name, value, &homes()),
                }
            }
        }
        _ => {
            let hint = "write `[agents.default]` with `command` below it".to_owned();
            let message = "`agents` is a table of profiles".to_owned();
            reader.add(Code::WrongType, value.span(), "agents", message, hint);
        }
    }
}

/// The rules between keys, told where one of the two keys was set.
fn between_keys(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    server: &Server,
    env: &Env,
) -> Result<Origins, Mistakes> {
    let (sandbox, policy, workers) = (&server.sandbox, &server.policy, &server.workers);
    let mut broken: Vec<(Code, [&'static str; 2], [String; 2])> = Vec::new();
    if workers.lost_after_secs <= 2 * workers.heartbeat_secs {
        broken.push((
            Code::LostAfter,
            ["workers.lost_after", "workers.heartbeat"],
            [
                duration_text(workers.lost_after_secs),
                duration_text(workers.heartbeat_secs),
            ],
        ));
    }
    let mut ceiling = |above: bool, keys, values| {
        if above {
            broken.push((Code::AboveCeiling, keys, values));
        }
    };
    let cpus = |millis: u32| (f64::from(millis) / 1000.0).to_string();
    ceiling(
        sandbox.cpu_millis > policy.cpu_millis,
        ["sandbox.cpus", "policy.cpus"],
        [cpus(sandbox.cpu_millis), cpus(policy.cpu_millis)],
    );
    ceiling(
        sandbox.memory_bytes > policy.memory_bytes,
        ["sandbox.memory", "policy.memory"],
        [
            size_text(sandbox.memory_bytes),
            size_text(policy.memory_bytes),
        ],
    );
    ceiling(
        sandbox.disk_bytes > policy.disk_bytes,
        ["sandbox.disk", "policy.disk"],
        [size_text(sandbox.disk_bytes), size_text(policy.disk_bytes)],
    );
    ceiling(
        sandbox.pids > policy.pids,
        ["sandbox.pids", "policy.pids"],
        [sandbox.pids.to_string(), policy.pids.to_string()],
    );
    let mut mistakes: Option<Mistakes> = None;
    for (code, [one, other], [value, limit]) in broken {
        let (message, hint) = match code {
            Code::LostAfter => (
                format!("`{one}` ({value}) must be longer than twice `{other}` ({limit})"),
                format!("raise `{one}`, or lower `{other}`"),
            ),
            _ => (
                format!("`{one}` ({value}) is above its ceiling `{other}` ({limit})"),
                format!("lower `{one}`, or raise `{other}`"),
            ),
        };
        let places = [one, other].map(|path| (path, place_of(path, table, env)));
        let place = places
            .into_iter()
            .find_map(|(path, place)| Some((path, place?)));
        match place {
            Some((path, Place::Variable(name, shown))) => {
                let more = at_variable(&name, shown, code, path, message, hint);
                mistakes = Some(mistakes.map_or(more.clone(), |some| some.and(more)));
            }
            Some((path, Place::File(span))) => reader.add(code, span, path, message, hint),
            None => {}
        }
    }
    mistakes.map_or(Ok(Origins::default()), Err)
}

/// Where a key was set.
enum Place<'a> {
    Variable(String, &'a str),
    File(std::ops::Range<usize>),
}

fn place_of<'a>(path: &str, table: &DeTable<'_>, env: &'a Env) -> Option<Place<'a>> {
    let variable = format!("PRENTICE_{}", path.replace('.', "__").to_uppercase());
    if let Some(value) = env.get(&variable) {
        return Some(Place::Variable(variable, value));
    }
    let (section, key) = path.split_once('.')?;
    let value = table.get(section)?.get_ref().as_table()?.get(key)?;
    Some(Place::File(value.span()))
}

fn homes() -> Vec<(&'static str, Vec<&'static str>)> {
    let tables = SERVER
        .iter()
        .map(|s| (s.name, s.keys.iter().map(|key| key.name).collect()));
    let forge = (FORGE.name, FORGE.keys.iter().map(|key| key.name).collect());
    tables.chain([forge]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Origin, show_server};

    fn read(text: &str, env: &[(&str, &str)]) -> Result<(Server, Origins), Mistakes> {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        server(Some(("server.toml", text.as_bytes())), &env.collect())
    }

    #[test]
    fn without_file_and_variables_the_built_in_values_hold_and_read_back_as_themselves() {
        let (built_in, origins) = server(None, &BTreeMap::new()).unwrap();
        assert_eq!(built_in, Server::default());
        let (again, _) = read(&show_server(&built_in, &origins, true), &[]).unwrap();
        assert_eq!(again, Server::default());
    }

    #[test]
    fn the_built_in_values_are_these() {
        insta::assert_snapshot!(show_server(&Server::default(), &Origins::default(), false), @r#"
        version = 1
        server.data_dir = ""
        server.log = "info"
        server.log_format = "auto"
        server.listen = "127.0.0.1:8460"
        server.public_url = ""
        server.metrics = true
        server.shutdown_grace = "30s"
        workers.slots = 2
        workers.per_repo = 1
        workers.heartbeat = "15s"
        workers.lost_after = "2m"
        sandbox.toolchains = []
        sandbox.kind = "auto"
        sandbox.cpus = 2.0
        sandbox.memory = "4GiB"
        sandbox.disk = "10GiB"
        sandbox.pids = 512
        agents.default.command = []
        policy.timeout = "2h"
        policy.max_rounds = 10
        policy.cpus = 8.0
        policy.memory = "16GiB"
        policy.disk = "40GiB"
        policy.pids = 2048
        policy.protected_policy = "approve"
        policy.dependencies = "approve"
        policy.trigger_allow_min = "triage"
        policy.comments_from_min = "write"
        policy.verify_max = "label"
        policy.ci_exposure = "ask"
        retention.logs = "90d"
        retention.deliveries = "14d"
        retention.tasks = "400d"
        "#);
    }

    #[test]
    fn a_variable_wins_over_the_file_and_both_over_the_default() {
        let text = "version = 1\n[sandbox]\nmemory = \"8GiB\"\ndisk = \"1GiB\"\n";
        let env = [
            ("PRENTICE_SANDBOX__MEMORY", "2GiB"),
            ("PRENTICE_SANDBOX__CPUS", "1.5"),
            ("PRENTICE_SANDBOX__TOOLCHAINS", "[\"/opt/go\"]"),
            ("PRENTICE_SERVER__LOG_FORMAT", "json"),
            ("PRENTICE_BRIEF_JSON", "not ours to read"),
        ];
        let (server, origins) = read(text, &env).unwrap();
        assert_eq!(server.sandbox.memory_bytes, 2 << 30);
        assert_eq!(server.sandbox.disk_bytes, 1 << 30);
        assert_eq!(server.sandbox.cpu_millis, 1500);
        assert_eq!(server.sandbox.toolchains, ["/opt/go"]);
        assert_eq!(server.log_format, LogFormat::Json);
        assert_eq!(
            origins.of("sandbox.memory").to_string(),
            "$PRENTICE_SANDBOX__MEMORY"
        );
        assert_eq!(origins.of("sandbox.disk").to_string(), "server.toml:4");
        assert_eq!(*origins.of("sandbox.pids"), Origin::Default);
    }

    #[test]
    fn mistakes_of_file_and_variables_are_told_together_by_name() {
        let text =
            "version = 1\n[sandbox]\nkind = \"none\"\nmemory = \"32GiB\"\n[workers]\nslot = 2\n";
        let env = [
            ("PRENTICE_POLICY__TIMEOUT", "2 hours"),
            ("PRENTICE_SANDBOX__PIDS", "many"),
            ("PRENTICE_SANDBOX__TOKEN", "hunter2"),
            ("PRENTICE_WORKERS__HEARTBEAT", "5m"),
        ];
        insta::assert_snapshot!(read(text, &env).unwrap_err(), @r#"
        error[PRN206]: `sandbox.kind` cannot be "none"
          ┌ server.toml:3:8
        3 │ kind = "none"
          │        ^^^^^^ use one of auto, native
        error[PRN221]: `sandbox.memory` (32GiB) is above its ceiling `policy.memory` (16GiB)
          ┌ server.toml:4:10
        4 │ memory = "32GiB"
          │          ^^^^^^^ lower `sandbox.memory`, or raise `policy.memory`
        error[PRN203]: unknown key `slot` in [workers]
          ┌ server.toml:6:1
        6 │ slot = 2
          │ ^^^^ did you mean `slots`?
          = allowed here: slots, per_repo, heartbeat, lost_after
        error[PRN207]: `policy.timeout` is not a duration: "2 hours"
          ┌ PRENTICE_POLICY__TIMEOUT:1:1
        1 │ 2 hours
          │ ^^^^^^^ did you mean "2h"?
        error[PRN204]: `sandbox.pids` takes a whole number, not text
          ┌ PRENTICE_SANDBOX__PIDS:1:1
        1 │ many
          │ ^^^^ takes a whole number from 16 to 100000
        error[PRN301]: `PRENTICE_SANDBOX__TOKEN` sets nothing
          ┌ PRENTICE_SANDBOX__TOKEN:1:1
        1 │ PRENTICE_SANDBOX__TOKEN
          │ ^^^^^^^^^^^^^^^^^^^^^^^ variables are named PRENTICE_SECTION__KEY after the server file
        error[PRN220]: `workers.lost_after` (2m) must be longer than twice `workers.heartbeat` (5m)
          ┌ PRENTICE_WORKERS__HEARTBEAT:1:1
        1 │ 5m
          │ ^^ raise `workers.lost_after`, or lower `workers.heartbeat`
        7 errors. Nothing was started. Explain: prentice explain PRN206
        "#);
    }

    #[test]
    fn a_file_that_is_no_text_does_not_hide_a_bad_variable() {
        let env = BTreeMap::from([("PRENTICE_POLICY__TIMEOUT".to_owned(), "x".to_owned())]);
        let mistakes = server(Some(("server.toml", b"\xff")), &env).unwrap_err();
        let codes: Vec<&str> = mistakes.list.iter().map(|m| m.code.as_str()).collect();
        assert_eq!(codes, ["PRN102", "PRN207"]);
    }
}
