//! Answers to acts of people that do not fit the stage.

/// Why an act of a person is not possible now. Rendered by `report`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// The task is final.
    Final,
    /// Nothing waits for an approval.
    NothingToApprove,
    /// Nothing waits for an answer.
    NothingAsked,
    /// Nothing is queued or running.
    NothingToStop,
    /// Nothing failed.
    NothingToRetry,
    /// Nobody interrupted it.
    NothingToResume,
    /// There is no result in review to fix.
    NothingToFix,
    /// Nobody has taken it over.
    NotTakenOver,
    /// There is no branch to take over.
    NothingToTakeOver,
    /// The approval names something other than what is asked now.
    OtherTarget {
        /// What is asked now, as it would be typed.
        asked: Vec<String>,
    },
    /// The accepted text is not the text of the task any more.
    OtherText {
        /// The number of the text that would be accepted now.
        number: u32,
    },
    /// The answer cannot be read into the brief.
    BadAnswer {
        /// Why.
        why: String,
    },
    /// The answer is to a question that nobody asked.
    NoQuestion {
        /// The number given.
        number: usize,
        /// How many were asked.
        asked: usize,
    },
    /// What is missing in the brief has no default.
    NoDefaults,
    /// A question has no default, so `defaults` does not answer it.
    NoDefault {
        /// The question's number.
        number: usize,
    },
}
