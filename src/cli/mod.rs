//! Words typed and words printed. Data goes to standard output, talk to standard error.

mod configuration;
mod doctor;
mod ending;
mod log;
mod prompt;
mod run;
mod screen;
mod serve;
mod setup;
mod tasks;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::app::{self, App, AppError, News, Said};
use crate::config::{self, Env, Origins, Server};
use ending::{Ending, exit};
use log::Log;
use screen::Screen;

/// A labelled issue becomes a pull request with evidence, for a human to merge.
#[derive(Parser)]
#[command(name = "prentice", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct Global {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Colours on the terminal
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    /// Server file to use instead of the usual place
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    /// See the whole job on an embedded repository: no account, key, network or configuration
    Demo(run::DemoArgs),
    /// Have an issue worked on, and the result verified, in a repository on this machine
    Run(run::RunArgs),
    /// The referee: checks, gates and evidence for any two commits, without an agent
    Verify(verify::VerifyArgs),
    /// Serve the forges of the server file: labelled issues become pull requests
    Serve,
    /// Make repositories of a forge ready, and write the server file that serves them
    Setup(setup::SetupArgs),
    /// What works on this machine and what does not, with the fix
    Doctor(doctor::DoctorArgs),
    /// Tasks: what they are, what they did, what they wait for
    #[command(subcommand)]
    Tasks(tasks::TasksCommand),
    /// Configuration files: check, show, schema
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// What a code (PRN203) or a failure class (verify) means, and what to do
    Explain {
        /// The code or class
        code: String,
    },
    /// Completions for a shell, on standard output
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// The version of this program
    Version,
}

/// What every command works with.
pub(crate) struct Context {
    pub(crate) env: Env,
    pub(crate) json: bool,
    pub(crate) colour: bool,
    pub(crate) config: Option<PathBuf>,
    pub(crate) screen: Arc<Screen>,
    /// The command line as typed.
    pub(crate) line: String,
}

impl Context {
    pub(crate) async fn open(&self) -> Result<App, AppError> {
        self.open_with(self.settings()?).await
    }

    /// With what [`settings`](Self::settings) gave.
    pub(crate) async fn open_with(&self, settings: (Server, Origins)) -> Result<App, AppError> {
        let screen = Arc::clone(&self.screen);
        let told = Arc::new(move |_, said: News<'_>| screen.hear(said));
        App::open(self.env.clone(), settings, told).await
    }

    /// The server file and the variables over it.
    pub(crate) fn settings(&self) -> Result<(Server, Origins), AppError> {
        app::server_settings(&self.env, self.config.as_deref())
    }

    /// Says something to a person.
    pub(crate) fn say(&self) -> impl Fn(&str) + Sync + use<> {
        let screen = Arc::clone(&self.screen);
        move |line| screen.say(line)
    }
}

/// Runs the program on the words of this process; the exit code.
#[must_use]
pub fn main() -> i32 {
    let line: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = error.exit_code();
            if code != 0 && line.iter().any(|word| word == "--json") {
                let text = error.to_string();
                return ending::usage(text.strip_prefix("error: ").unwrap_or(&text), code);
            }
            // clap chooses the stream; nothing can be done where it is closed.
            let _ = error.print();
            return code;
        }
    };
    let env: Env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let colour = match cli.global.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            use std::io::IsTerminal as _;
            std::io::stderr().is_terminal() && !env.contains_key("NO_COLOR")
        }
    };
    let context = Context {
        json: cli.global.json,
        colour,
        config: cli.global.config,
        screen: Arc::new(Screen::new(cli.global.quiet, talk_every(&env))),
        line: line.join(" "),
        env,
    };
    let verbose = cli.global.verbose;
    // What a server logs, its file says, which it reads first.
    if !matches!(cli.command, Command::Serve) {
        Log::of_command(verbose).start(context.colour);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(why) => {
            return exit(
                &context,
                Err(AppError::Host(Said::plain(format!(
                    "no threads can be had: {why}"
                )))),
            );
        }
    };
    let done = runtime.block_on(dispatch(&context, cli.command, verbose));
    // A blocked read of a terminal must not keep the process.
    runtime.shutdown_background();
    context.screen.finish();
    exit(&context, done)
}

/// How often a long step is told of again off a terminal. The variable is for those who cannot wait so long.
fn talk_every(env: &Env) -> Duration {
    let secs = env.get("PRENTICE_TALK_EVERY_SECS");
    let secs = secs.and_then(|secs| secs.parse().ok());
    Duration::from_secs(secs.filter(|secs| *secs > 0).unwrap_or(60))
}

async fn dispatch(context: &Context, command: Command, verbose: u8) -> Result<Ending, AppError> {
    match command {
        Command::Demo(args) => run::demo(context, args).await,
        Command::Run(args) => run::run(context, args).await,
        Command::Verify(args) => verify::verify(context, args).await,
        Command::Serve => serve::serve(context, verbose).await,
        Command::Setup(args) => setup::setup(context, args).await,
        Command::Doctor(args) => doctor::doctor(context, &args).await,
        Command::Tasks(command) => tasks::tasks(context, command).await,
        Command::Config(command) => configuration::config(context, command).await,
        Command::Explain { code } => match config::explain(&code) {
            Some(text) => Ok(Ending::text(0, text)),
            None => {
                let known: Vec<&str> = config::explained().collect();
                Err(AppError::NotFound(Said::new(
                    format!("`{code}` is not known"),
                    format!("known are {}", known.join(", ")),
                )))
            }
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "prentice", &mut script);
            Ok(Ending::text(0, &String::from_utf8_lossy(&script)))
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            let object =
                serde_json::json!({ "schema_version": 1, "name": "prentice", "version": version });
            Ok(Ending::both(0, &format!("prentice {version}"), object))
        }
    }
}
