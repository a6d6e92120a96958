//! What the words of an answer say to the questions that were asked.

use super::NotNow;
use crate::domain::task::Question;

/// The answer as the agent reads it.
///
/// # Errors
/// [`NotNow::NoDefault`] where `defaults` was typed and a question has none, [`NotNow::NoQuestion`] for the number of
/// a question that nobody asked.
pub(super) fn resolve(questions: &[Question], text: &str) -> Result<String, NotNow> {
    if !text.trim().eq_ignore_ascii_case("defaults") {
        let asked = questions.len();
        return match numbers(text).find(|number| !(1..=asked).contains(number)) {
            Some(number) => Err(NotNow::NoQuestion { number, asked }),
            None => Ok(text.to_owned()),
        };
    }
    let mut lines = Vec::new();
    for (index, question) in questions.iter().enumerate() {
        match &question.default {
            Some(default) => lines.push(format!("{}: {default}", index + 1)),
            None => return Err(NotNow::NoDefault { number: index + 1 }),
        }
    }
    Ok(lines.join("\n"))
}

/// The numbers of `1: A; 2: B`, or of the same on lines of their own. Words that do not begin with one have none.
fn numbers(text: &str) -> impl Iterator<Item = usize> {
    let parts = text.split([';', '\n']).map(|part| {
        let (number, _) = part.trim().split_once(':')?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| number.parse().unwrap_or(usize::MAX))
    });
    let mut parts = parts.peekable();
    let listed = parts.peek().is_some_and(Option::is_some);
    parts.flatten().filter(move |_| listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(default: Option<&str>) -> Question {
        Question {
            text: "which?".to_owned(),
            choices: Vec::new(),
            default: default.map(str::to_owned),
        }
    }

    #[test]
    fn an_answer_to_a_question_that_nobody_asked_is_refused() {
        let questions = [question(None), question(Some("B"))];
        for good in [
            "1: A; 2: see 7: there",
            "2: A",
            "words; 7: words",
            "at 7: nothing",
            "",
        ] {
            assert_eq!(resolve(&questions, good), Ok(good.to_owned()));
        }
        for (bad, number) in [
            ("7: foo", 7),
            ("0: x", 0),
            ("1: A\n3: B", 3),
            ("99999999999999999999: x", usize::MAX),
        ] {
            let asked = 2;
            assert_eq!(
                resolve(&questions, bad),
                Err(NotNow::NoQuestion { number, asked }),
                "{bad}"
            );
        }
    }

    #[test]
    fn defaults_answer_only_where_all_have_one() {
        let with = |default| [question(Some("A")), question(default)];
        assert_eq!(
            resolve(&with(Some("B")), " Defaults"),
            Ok("1: A\n2: B".to_owned())
        );
        assert_eq!(
            resolve(&with(None), "defaults"),
            Err(NotNow::NoDefault { number: 2 })
        );
    }
}
