//! What an agent may say on its standard output: JSON lines, all of them optional,
//! all of them claims. Anything that is not such a line is plain talk for the log.
//!
//! | line | means |
//! |---|---|
//! | `{"type":"step","text":"…"}` | a sign of life |
//! | `{"type":"ask","question":"…","choices":["A","B"],"default":"A"}` | a question, told when it exits 20 |
//! | `{"type":"note","kind":"summary","text":"…"}` | what it did and why, shown as its claim |
//! | `{"type":"note","text":"…"}` | a risk, or something it left out, shown as its claim |
//! | `{"type":"usage","input_tokens":1,"output_tokens":2}` | figures, kept in the log only |

use serde::Deserialize;

use crate::domain::task::{Claims, Question};
use crate::domain::text::Redactor;

/// Questions shown to a person at once; more are counted, not shown.
pub const MAX_QUESTIONS: usize = 3;
/// Notes kept.
const MAX_NOTES: usize = 20;
/// Longest line read as JSON, in bytes; a longer one is plain talk.
const MAX_LINE: usize = 64 << 10;
/// Longest text of one question or note, in characters.
const MAX_TEXT: usize = 2_000;
/// Lines of a summary.
const MAX_SUMMARY_LINES: usize = 6;

/// Reads the talk of one agent as it comes.
#[derive(Debug, Default)]
pub struct Listener {
    line: Vec<u8>,
    overlong: bool,
    tail: Vec<u8>,
    questions: Vec<Question>,
    questions_left_out: usize,
    claims: Claims,
    notes_left_out: usize,
    last_step: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Step {
        #[serde(default)]
        text: String,
    },
    Ask {
        question: String,
        #[serde(default)]
        choices: Vec<String>,
        #[serde(default)]
        default: Option<String>,
    },
    Note {
        #[serde(default)]
        kind: String,
        text: String,
    },
    Usage {},
}

impl Listener {
    /// Takes the next bytes of standard output.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(MAX_TEXT * 4);
        self.tail.drain(..excess);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if self.line.len() + text.len() > MAX_LINE {
                self.overlong = true;
                self.line.clear();
            } else if !self.overlong {
                self.line.extend_from_slice(text);
            }
            if ended {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.overlong) {
                    self.read(&line);
                }
            }
        }
    }

    fn read(&mut self, line: &[u8]) {
        if !line.trim_ascii_start().starts_with(b"{") {
            return;
        }
        // A line that only looks like one of ours is talk: agents print JSON of their own.
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            return;
        };
        match line {
            Line::Step { text } => self.last_step = Some(clipped(&text)),
            Line::Usage {} => {}
            Line::Ask {
                question,
                choices,
                default,
            } => {
                if self.questions.len() == MAX_QUESTIONS {
                    self.questions_left_out += 1;
                    return;
                }
                self.questions.push(Question {
                    text: clipped(&question),
                    choices: choices
                        .iter()
                        .take(9)
                        .map(|choice| clipped(choice))
                        .collect(),
                    default: default.as_deref().map(clipped),
                });
            }
            Line::Note { kind, text } if kind == "summary" => {
                let lines: Vec<&str> = text.lines().take(MAX_SUMMARY_LINES).collect();
                self.claims.summary = clipped(&lines.join("\n"));
            }
            Line::Note { text, .. } => {
                if self.claims.notes.len() == MAX_NOTES {
                    self.notes_left_out += 1;
                } else {
                    self.claims.notes.push(clipped(&text));
                }
            }
        }
    }

    /// The last step it told of, for a person who watches.
    #[must_use]
    pub fn last_step(&self) -> Option<&str> {
        self.last_step.as_deref()
    }

    /// Everything said, once it has ended, without the secrets in it.
    #[must_use]
    pub fn heard(mut self, redactor: &Redactor) -> Heard {
        let rest = std::mem::take(&mut self.line);
        if !rest.is_empty() && !self.overlong {
            self.read(&rest);
        }
        if self.notes_left_out > 0 {
            let count = self.notes_left_out;
            self.claims
                .notes
                .push(format!("({count} more notes are in the log)"));
        }
        let redact = |text: &mut String| *text = redactor.redact(text);
        redact(&mut self.claims.summary);
        self.claims.notes.iter_mut().for_each(redact);
        for question in &mut self.questions {
            redact(&mut question.text);
            question.choices.iter_mut().for_each(redact);
            question.default.as_mut().map(redact);
        }
        // Before it is cut: half a token is not known by its form.
        let words = redactor.redact(&String::from_utf8_lossy(&self.tail));
        Heard {
            questions: self.questions,
            questions_left_out: self.questions_left_out,
            claims: self.claims,
            last_words: last_chars(&words, MAX_TEXT),
        }
    }
}

/// What an agent said in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// At most [`MAX_QUESTIONS`].
    pub questions: Vec<Question>,
    /// Questions beyond that.
    pub questions_left_out: usize,
    /// Claims for the reviewer.
    pub claims: Claims,
    /// The last 2,000 characters of its talk.
    pub last_words: String,
}

fn clipped(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

fn last_chars(text: &str, max: usize) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(max)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[&str]) -> Heard {
        let mut listener = Listener::default();
        for piece in pieces {
            listener.hear(piece.as_bytes());
        }
        listener.heard(&Redactor::new(Vec::new()))
    }

    #[test]
    fn lines_are_read_however_they_are_cut() {
        let whole = r#"talk
{"type":"note","kind":"summary","text":"Made it."}
{"type":"ask","question":"Which?","choices":["A","B"],"default":"B"}
{"type":"note","text":"Not measured."}"#;
        let at_once = heard(&[whole]);
        let byte_by_byte: Vec<String> = whole.chars().map(String::from).collect();
        let pieces: Vec<&str> = byte_by_byte.iter().map(String::as_str).collect();
        assert_eq!(at_once, heard(&pieces));
        assert_eq!(at_once.claims.summary, "Made it.");
        assert_eq!(at_once.claims.notes, ["Not measured."]);
        assert_eq!(at_once.questions.len(), 1);
        assert_eq!(at_once.questions[0].default.as_deref(), Some("B"));
    }

    #[test]
    fn what_only_looks_like_a_line_is_talk() {
        let heard = heard(&["{\"type\":\"done\"}\n{broken\n{\"type\":\"ask\"}\n[1]\n"]);
        assert!(heard.questions.is_empty());
        assert!(heard.claims.notes.is_empty());
        assert!(heard.last_words.contains("{broken"));
    }

    #[test]
    fn a_flood_of_questions_and_an_endless_line_are_capped() {
        let question = "{\"type\":\"ask\",\"question\":\"?\"}\n".repeat(10);
        let endless = format!(
            "{{\"type\":\"note\",\"text\":\"{}\"}}\n",
            "x".repeat(1 << 20)
        );
        let heard = heard(&[
            &question,
            &endless,
            "{\"type\":\"note\",\"text\":\"after\"}\n",
        ]);
        assert_eq!(heard.questions.len(), MAX_QUESTIONS);
        assert_eq!(heard.questions_left_out, 7);
        assert_eq!(heard.claims.notes, ["after"]);
        assert!(heard.last_words.chars().count() <= MAX_TEXT);
    }
}
