//! The server's ceilings over what a repository asks for.

use std::fmt;

use super::forms::{duration_text, size_text};
use super::kinds::Word as _;
use super::server::Server;
use super::{Origin, Origins};
use crate::domain::policy::Right;
use crate::domain::settings::{GatePolicy, Settings};

/// A value that the server cut down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clamp {
    /// `task.timeout`.
    pub key: &'static str,
    /// As the repository asked.
    pub asked: String,
    /// As it holds.
    pub given: String,
}

impl fmt::Display for Clamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` {} → {} (server ceiling)",
            self.key, self.asked, self.given
        )
    }
}

/// Puts a repository's settings under the server's: limits that the repository does not name
/// become the server's, those above a ceiling are cut and told.
pub fn clamp(
    settings: &mut Settings,
    origins: &mut Origins,
    server: &Server,
    server_origins: &Origins,
) -> Vec<Clamp> {
    let given = &server.sandbox;
    let sandbox = &mut settings.sandbox;
    let mut inherit = |key: &str| {
        let inherited = *origins.of(key) == Origin::Default;
        if inherited {
            origins.set(key, server_origins.of(key).clone());
        }
        inherited
    };
    if inherit("sandbox.cpus") {
        sandbox.cpu_millis = given.cpu_millis;
    }
    if inherit("sandbox.memory") {
        sandbox.memory_bytes = given.memory_bytes;
    }
    if inherit("sandbox.disk") {
        sandbox.disk_bytes = given.disk_bytes;
    }
    if inherit("sandbox.pids") {
        sandbox.pids = given.pids;
    }
    let policy = &server.policy;
    let mut under = Under {
        origins,
        clamps: Vec::new(),
    };
    under.cut(
        "task.timeout",
        &mut settings.task.timeout_secs,
        policy.timeout_secs,
        |n| duration_text(*n),
    );
    under.cut(
        "task.max_rounds",
        &mut settings.task.max_rounds,
        policy.max_rounds,
        u32::to_string,
    );
    under.cut(
        "sandbox.cpus",
        &mut sandbox.cpu_millis,
        policy.cpu_millis,
        |n| (f64::from(*n) / 1000.0).to_string(),
    );
    under.cut(
        "sandbox.memory",
        &mut sandbox.memory_bytes,
        policy.memory_bytes,
        |n| size_text(*n),
    );
    under.cut(
        "sandbox.disk",
        &mut sandbox.disk_bytes,
        policy.disk_bytes,
        |n| size_text(*n),
    );
    under.cut(
        "sandbox.pids",
        &mut sandbox.pids,
        policy.pids,
        u32::to_string,
    );
    under.raise(
        "trigger.allow",
        &mut settings.trigger.allow,
        policy.trigger_allow_min,
    );
    under.cut(
        "trigger.verify",
        &mut settings.trigger.verify,
        policy.verify_max,
        |on| on.word().to_owned(),
    );
    under.cut(
        "context.comments_from",
        &mut settings.context.comments_from,
        policy.comments_from_min,
        |from| from.word().to_owned(),
    );
    under.stricter(
        "scope.protected_policy",
        &mut settings.scope.protected_policy,
        policy.protected_policy,
    );
    under.stricter(
        "scope.dependencies",
        &mut settings.scope.dependencies,
        policy.dependencies,
    );
    under.clamps
}

/// Cuts values and remembers which.
struct Under<'a> {
    origins: &'a mut Origins,
    clamps: Vec<Clamp>,
}

impl Under<'_> {
    fn cut<V: Copy + PartialOrd>(
        &mut self,
        key: &'static str,
        value: &mut V,
        most: V,
        shown: fn(&V) -> String,
    ) {
        if *value > most {
            self.told(key, shown(value), shown(&most));
            *value = most;
        }
    }

    fn raise(&mut self, key: &'static str, value: &mut Right, least: Right) {
        if *value < least {
            self.told(key, value.word().to_owned(), least.word().to_owned());
            *value = least;
        }
    }

    fn stricter(&mut self, key: &'static str, value: &mut GatePolicy, least: GatePolicy) {
        let leniency = |policy| match policy {
            GatePolicy::Block => 0,
            GatePolicy::Approve => 1,
            GatePolicy::Allow => 2,
        };
        if leniency(*value) > leniency(least) {
            self.told(key, value.word().to_owned(), least.word().to_owned());
            *value = least;
        }
    }

    fn told(&mut self, key: &'static str, asked: String, given: String) {
        let origin = Origin::Ceiling(Box::new(self.origins.of(key).clone()));
        self.origins.set(key, origin);
        self.clamps.push(Clamp { key, asked, given });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{repository, server, show};
    use crate::domain::settings::{CommentsFrom, RefereeOn};

    fn under(repository_text: &str, server_text: &str) -> (Settings, Origins, String) {
        let (mut settings, mut origins) = repository("prentice.toml", repository_text).unwrap();
        let file = Some(("server.toml", server_text.as_bytes()));
        let (server, server_origins) = server(file, &BTreeMap::new()).unwrap();
        let clamps = clamp(&mut settings, &mut origins, &server, &server_origins);
        let told: Vec<String> = clamps.iter().map(Clamp::to_string).collect();
        (settings, origins, told.join("\n"))
    }

    #[test]
    fn what_is_above_a_ceiling_is_cut_and_told() {
        let asked = r#"
            version = 1
            task = { timeout = "3h", max_rounds = 20 }
            scope = { dependencies = "allow" }
            sandbox = { memory = "64GiB", cpus = 64, disk = "1TiB", pids = 9000 }
        "#;
        let (settings, origins, told) = under(
            asked,
            "version = 1\npolicy.timeout = \"60m\"\npolicy.protected_policy = \"block\"",
        );
        insta::assert_snapshot!(told, @"
        `task.timeout` 3h → 60m (server ceiling)
        `task.max_rounds` 20 → 10 (server ceiling)
        `sandbox.cpus` 64 → 8 (server ceiling)
        `sandbox.memory` 64GiB → 16GiB (server ceiling)
        `sandbox.disk` 1TiB → 40GiB (server ceiling)
        `sandbox.pids` 9000 → 2048 (server ceiling)
        `scope.protected_policy` approve → block (server ceiling)
        `scope.dependencies` allow → approve (server ceiling)
        ");
        assert_eq!(settings.task.timeout_secs, 3600);
        assert_eq!(settings.scope.protected_policy, GatePolicy::Block);
        let shown = show(&settings, &origins, true);
        assert!(
            shown.contains(
                "task.timeout = \"60m\"  # server ceiling (prentice.toml:3 asks for more)\n"
            ),
            "{shown}"
        );
    }

    #[test]
    fn who_may_start_is_never_widened() {
        let server = "version = 1\npolicy.trigger_allow_min = \"write\"";
        let (settings, _, told) = under("version = 1", server);
        assert_eq!(told, "`trigger.allow` triage → write (server ceiling)");
        assert_eq!(settings.trigger.allow, Right::Write);
        let (settings, _, told) = under("version = 1\ntrigger.allow = \"admin\"", server);
        assert_eq!(told, "");
        assert_eq!(settings.trigger.allow, Right::Admin);
    }

    #[test]
    fn whose_comments_are_read_and_what_is_judged_unasked_are_never_widened() {
        let asked = "version = 1\ntrigger.verify = \"all\"\ncontext.comments_from = \"anyone\"";
        let (settings, _, told) = under(asked, "version = 1");
        insta::assert_snapshot!(told, @"
        `trigger.verify` all → label (server ceiling)
        `context.comments_from` anyone → write (server ceiling)
        ");
        assert_eq!(settings.trigger.verify, RefereeOn::Label);
        let server =
            "version = 1\npolicy.verify_max = \"all\"\npolicy.comments_from_min = \"triage\"";
        let (settings, _, told) = under(asked, server);
        insta::assert_snapshot!(told, @"`context.comments_from` anyone → triage (server ceiling)");
        assert_eq!(settings.trigger.verify, RefereeOn::All);
        let (settings, _, told) = under("version = 1\ncontext.comments_from = \"none\"", server);
        assert_eq!(told, "");
        assert_eq!(settings.context.comments_from, CommentsFrom::None);
    }

    #[test]
    fn what_the_repository_does_not_name_is_the_servers() {
        let server = "version = 1\n[sandbox]\nmemory = \"8GiB\"\ncpus = 1\n";
        let (settings, origins, told) = under(
            "version = 1\nsandbox.memory = \"\"\nsandbox.cpus = 3",
            server,
        );
        assert_eq!(told, "");
        assert_eq!(settings.sandbox.memory_bytes, 8 << 30);
        assert_eq!(settings.sandbox.cpu_millis, 3000);
        assert_eq!(origins.of("sandbox.memory").to_string(), "server.toml:3");
        assert_eq!(origins.of("sandbox.cpus").to_string(), "prentice.toml:3");
        assert_eq!(*origins.of("sandbox.disk"), Origin::Default);
    }

    #[test]
    fn a_stricter_repository_stays_as_strict() {
        let (settings, _, told) = under(
            "version = 1\nscope.dependencies = \"block\"\ntask.timeout = \"30m\"",
            "version = 1",
        );
        assert_eq!(told, "");
        assert_eq!(settings.scope.dependencies, GatePolicy::Block);
        assert_eq!(settings.task.timeout_secs, 1800);
    }
}
