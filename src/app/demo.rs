//! The demo's repository and issue: embedded, so that the whole job can be seen without account, key or network.

use std::path::{Path, PathBuf};

use super::{App, AppError, RunOrder, Said};
use crate::agent::Scenario;
use crate::domain::task::{AgentSpec, Task};
use crate::git::{self, Author, NewFile};

/// What the demo says first, always.
pub const BANNER: &str = "The agent in this run is a script shipped with prentice. No model was used. \
                          Git, sandbox, commands and exit codes are real.";

const ISSUE: &str = include_str!("../../fixtures/demo/issue.md");
const SETTINGS: &str = include_str!("../../fixtures/demo/repo/.github/prentice.toml");
const SETTINGS_STALLS: &str = include_str!("../../fixtures/demo/prentice-stalls.toml");

const FILES: [NewFile<'_>; 3] = [
    NewFile {
        path: "README.md",
        content: include_str!("../../fixtures/demo/repo/README.md"),
        executable: false,
    },
    NewFile {
        path: "bin/greet",
        content: include_str!("../../fixtures/demo/repo/bin/greet"),
        executable: true,
    },
    NewFile {
        path: "tests/run",
        content: include_str!("../../fixtures/demo/repo/tests/run"),
        executable: true,
    },
];

/// The words of all scenarios.
pub fn scenarios() -> impl Iterator<Item = &'static str> {
    crate::agent::SCENARIOS.iter().map(|(word, _)| *word)
}

/// The script of the agent, to be read.
#[must_use]
pub fn script() -> &'static str {
    crate::agent::SCRIPT
}

impl App {
    /// Makes the demo's repository in a folder of its own and runs the production pipeline over it.
    /// Gives the task at rest and the folder.
    ///
    /// # Errors
    /// As [`App::run`]; [`AppError::Usage`] for a scenario that does not exist or a folder that is in use.
    pub async fn demo(
        &self,
        scenario: &str,
        out: Option<&Path>,
        command: String,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(Task, PathBuf), AppError> {
        let known = Scenario::of(scenario).ok_or_else(|| {
            let all: Vec<&str> = scenarios().collect();
            AppError::Usage(Said::new(
                format!("`{scenario}` is no scenario"),
                format!("there are {}", all.join(", ")),
            ))
        })?;
        let folder = self.demo_folder(known, out)?;
        let repository = folder.join("repo");
        let settings = if known == Scenario::Stalls {
            SETTINGS_STALLS
        } else {
            SETTINGS
        };
        let mut files = FILES.to_vec();
        files.push(NewFile {
            path: ".github/prentice.toml",
            content: settings,
            executable: false,
        });
        let author = Author {
            name: "Prentice demo".to_owned(),
            email: "demo@localhost".to_owned(),
            signer: None,
        };
        std::fs::create_dir_all(&repository).map_err(|why| {
            AppError::Host(Said::new(
                format!("{} cannot be made: {why}", repository.display()),
                "name another folder with --out",
            ))
        })?;
        git::create(
            &repository,
            &files,
            "greet: print a greeting",
            &author,
            self.now(),
        )?;
        let issue = folder.join("issue.md");
        std::fs::write(&issue, ISSUE).map_err(|why| {
            AppError::Host(Said::new(
                format!("{} cannot be written: {why}", issue.display()),
                "name another folder with --out",
            ))
        })?;
        say(&format!("folder: {}", folder.display()));
        let order = RunOrder {
            at: None,
            issue: ISSUE.to_owned(),
            source: issue.display().to_string(),
            repository,
            agent: AgentSpec::Scripted {
                script: known.word().to_owned(),
            },
            verify: Vec::new(),
            out: Some(folder.clone()),
            command,
        };
        Ok((self.run(order, say).await?, folder))
    }

    /// A folder that nothing is in yet.
    fn demo_folder(&self, scenario: Scenario, out: Option<&Path>) -> Result<PathBuf, AppError> {
        if let Some(out) = out {
            let used = out
                .read_dir()
                .is_ok_and(|mut entries| entries.next().is_some());
            if used {
                return Err(AppError::Usage(Said::new(
                    format!("{} is not empty", out.display()),
                    "the demo wants a folder of its own",
                )));
            }
            return std::path::absolute(out)
                .map_err(|why| AppError::Host(Said::plain(why.to_string())));
        }
        let all = self.data().join("demo");
        let word = scenario.word();
        let free = (1..10_000)
            .map(|n| all.join(format!("{word}-{n}")))
            .find(|path| !path.exists());
        free.ok_or_else(|| {
            AppError::Host(Said::new(
                format!("{} is full of demos", all.display()),
                "remove some",
            ))
        })
    }
}
