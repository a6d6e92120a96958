//! The agent of the demo: a script shipped with Prentice. No model is used, and every surface says so.
//!
//! It obeys the same contract as any other program: it reads the brief on standard input, edits files in the
//! sandbox, and its word counts for nothing.

use std::path::PathBuf;

use super::Agent;

/// Where the script is inside.
const INSIDE: &str = "/run/prentice/demo-agent.sh";

/// The script, as `demo --show-script` prints it.
pub const SCRIPT: &str = include_str!("../../fixtures/demo/agent.sh");

/// What the script does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Fixes the bug.
    Ok,
    /// Asks before it fixes it.
    Asks,
    /// Gets it wrong, twice.
    Fails,
    /// Fixes it, and touches what it was not asked to.
    OutOfScope,
    /// Falls silent.
    Stalls,
}

/// All scenarios, by the word that names them.
pub const SCENARIOS: [(&str, Scenario); 5] = [
    ("ok", Scenario::Ok),
    ("asks", Scenario::Asks),
    ("fails", Scenario::Fails),
    ("out-of-scope", Scenario::OutOfScope),
    ("stalls", Scenario::Stalls),
];

impl Scenario {
    /// The word that names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Asks => "asks",
            Self::Fails => "fails",
            Self::OutOfScope => "out-of-scope",
            Self::Stalls => "stalls",
        }
    }

    /// The scenario of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        SCENARIOS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, scenario)| *scenario)
    }
}

/// The scripted agent.
#[derive(Clone, Copy, Debug)]
pub struct Scripted(pub Scenario);

impl Agent for Scripted {
    fn argv(&self) -> Vec<String> {
        vec!["sh".to_owned(), INSIDE.to_owned(), self.0.word().to_owned()]
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        vec![(PathBuf::from(INSIDE), SCRIPT.as_bytes().to_vec())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_found_by_its_word_and_known_to_the_script() {
        for (word, scenario) in SCENARIOS {
            assert_eq!(Scenario::of(word), Some(scenario));
            assert_eq!(scenario.word(), word);
            assert!(SCRIPT.contains(&format!("{word})")), "{word}");
        }
        assert_eq!(Scenario::of("nonsense"), None);
    }
}
