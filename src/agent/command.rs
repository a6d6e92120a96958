//! A program of the user's.

use std::path::PathBuf;

use super::Agent;

/// A program found inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    argv: Vec<String>,
}

/// Why a command line is no program.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAProgram {
    /// Nothing in it.
    #[error("the agent command is empty; name a program, as in --agent-cmd 'sed -i s/a/b/ file'")]
    Empty,
    /// A quote is not closed.
    #[error("the agent command `{0}` has an open quote; close it")]
    OpenQuote(String),
}

impl Program {
    /// Splits a command line into words as a shell does; no shell is run.
    ///
    /// # Errors
    /// [`NotAProgram`].
    pub fn parse(line: &str) -> Result<Self, NotAProgram> {
        let argv = shlex::split(line).ok_or_else(|| NotAProgram::OpenQuote(line.to_owned()))?;
        if argv.is_empty() {
            return Err(NotAProgram::Empty);
        }
        Ok(Self { argv })
    }

    /// The program of words that were split before.
    #[must_use]
    pub fn of(argv: Vec<String>) -> Self {
        Self { argv }
    }

    /// Its words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.argv
    }
}

impl Agent for Program {
    fn argv(&self) -> Vec<String> {
        self.argv.clone()
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let program = Program::parse(r#"sh -c 'echo "a b" > c' x\ y"#).unwrap();
        assert_eq!(program.words(), ["sh", "-c", r#"echo "a b" > c"#, "x y"]);
        assert_eq!(Program::parse("  "), Err(NotAProgram::Empty));
        assert!(matches!(
            Program::parse("sh -c 'x"),
            Err(NotAProgram::OpenQuote(_))
        ));
    }
}
