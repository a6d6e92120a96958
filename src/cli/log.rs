//! What is logged and how, on standard error: text for people, JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Server};

/// Levels, the quietest first.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What is logged, and how.
pub(super) struct Log {
    filter: String,
    format: LogFormat,
}

impl Log {
    /// Of a command that ends by itself: errors, and more by `-v` and `-vv`.
    pub(super) fn of_command(verbose: u8) -> Self {
        let filter = ["error", "prentice=info", "prentice=debug"];
        Self {
            filter: filter[usize::from(verbose.min(2))].to_owned(),
            format: LogFormat::Auto,
        }
    }

    /// Of `serve`: as the server file says. `-v` and `-vv` are for more than that, never for less.
    pub(super) fn of_server(server: &Server, verbose: u8) -> Self {
        let asked = match verbose {
            0 => None,
            1 => Some("debug"),
            _ => Some("trace"),
        };
        let place = |level: &str| LEVELS.iter().position(|one| *one == level);
        let filter = match (place(&server.log), asked) {
            // A level is ours: nobody wants to know each packet of a library.
            (Some(_), asked) => {
                let level = asked.filter(|asked| place(asked) > place(&server.log));
                format!("prentice={}", level.unwrap_or(&server.log))
            }
            (None, None) => server.log.clone(),
            (None, Some(asked)) => format!("{},prentice={asked}", server.log),
        };
        Self {
            filter,
            format: server.log_format,
        }
    }

    /// From now on.
    pub(super) fn start(&self, colour: bool) {
        // What a file says was judged when it was read.
        let filter = EnvFilter::try_new(&self.filter).unwrap_or_else(|_| EnvFilter::new("error"));
        let is_terminal = std::io::stderr().is_terminal();
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let text = match self.format {
            LogFormat::Auto => is_terminal,
            LogFormat::Text => true,
            LogFormat::Json => false,
        };
        // A second start in one process (tests) keeps the first.
        let _ = match text {
            true => builder.with_ansi(colour && is_terminal).try_init(),
            false => builder.json().try_init(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_a_server_logs_and_the_command_line_may_ask_for_more() {
        let filter = |log: &str, verbose| {
            let server = Server {
                log: log.to_owned(),
                ..Server::default()
            };
            Log::of_server(&server, verbose).filter
        };
        assert_eq!(filter("info", 0), "prentice=info");
        assert_eq!(filter("error", 0), "prentice=error");
        assert_eq!(filter("warn", 1), "prentice=debug");
        assert_eq!(filter("trace", 1), "prentice=trace");
        assert_eq!(filter("info", 2), "prentice=trace");
        assert_eq!(
            filter("info,prentice::web=debug", 0),
            "info,prentice::web=debug"
        );
        assert_eq!(filter("hyper=warn", 1), "hyper=warn,prentice=debug");
    }
}
