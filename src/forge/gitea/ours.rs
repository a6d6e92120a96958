//! What both sides of a repository share: comments of ours, statuses, and the size of texts.

use reqwest::Method;
use serde_json::json;

use super::super::http::{Answer, Call};
use super::super::{CommentId, Error};
use super::Repo;
use super::shape::{RawCombined, RawComment, RawIssue};
use crate::domain::report::{CheckReport, CheckState};

/// Most characters of a text that is written. Gitea takes any length, and so do its pages, slowly.
const BODY_MAX: usize = 60_000;

/// Most characters of the line of a status.
const LINE_MAX: usize = 255;

/// What is told where a text was cut.
const CUT: &str = "*(cut here: the text is longer than a comment may be)*";

impl Repo {
    /// The comments of issue or pull request `number`, oldest first.
    pub(super) async fn all_comments(
        &self,
        number: i64,
        since: Option<String>,
    ) -> Result<Vec<RawComment>, Error> {
        let number_text = number.to_string();
        let what = format!("comments of #{number}");
        let path = ["issues", number_text.as_str(), "comments"];
        let mut call = Call::new(Method::GET, path, what);
        if let Some(since) = since {
            call = call.query("since", since);
        }
        // This list has no pages: asking for the second would give the first again, for ever.
        let answer = self.on(number, call).await?;
        let mut all: Vec<RawComment> = answer.list()?;
        all.sort_by_key(|comment| comment.id);
        Ok(all)
    }

    /// A list that belongs to issue or pull request `number`. Where that is gone, this interface says that it is
    /// itself broken.
    pub(super) async fn on(&self, number: i64, call: Call) -> Result<Answer, Error> {
        match self.send(call, &[200]).await {
            Err(Error::Retry { after_secs, why }) => {
                let path = number.to_string();
                let what = format!("#{number}");
                let _: RawIssue = self.get(&["issues", path.as_str()], what).await?;
                Err(Error::Retry { after_secs, why })
            }
            answer => answer,
        }
    }

    /// The comment `id`, which is not there either when it is no plain comment.
    pub(super) async fn one_comment(&self, id: CommentId) -> Result<RawComment, Error> {
        let number = id.0.to_string();
        let what = format!("comment {number}");
        let call = Call::new(
            Method::GET,
            ["issues", "comments", number.as_str()],
            what.clone(),
        );
        match self.send(call, &[200, 204]).await? {
            answer if answer.status == 200 => answer.read(),
            _ => Err(Error::Gone { what }),
        }
    }

    /// Our comment on `number`: `known`, whatever a person made of its text, else the one that begins with the line `mark`.
    pub(super) async fn own_comment(
        &self,
        number: i64,
        mark: &str,
        known: Option<CommentId>,
    ) -> Result<Option<RawComment>, Error> {
        let me = self.home.me().await?.id;
        let by_us = |comment: &RawComment| comment.user.as_ref().is_some_and(|user| user.id == me);
        let ours = |comment: &RawComment| by_us(comment) && begins(&comment.body, mark);
        if let Some(known) = known {
            match self.one_comment(known).await {
                Ok(comment) if by_us(&comment) && comment.number() == Some(number) => {
                    return Ok(Some(comment));
                }
                Ok(_) | Err(Error::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self
            .all_comments(number, None)
            .await?
            .into_iter()
            .find(ours))
    }

    /// Makes the comment with `mark` say `body`. One that is there is edited, or left where `keep` says so.
    pub(super) async fn ensure_own(
        &self,
        number: i64,
        mark: &str,
        known: Option<CommentId>,
        body: &str,
        keep: bool,
    ) -> Result<CommentId, Error> {
        let body = capped(&format!("{mark}\n{body}"));
        let found = self.own_comment(number, mark, known).await?;
        let text = json!({ "body": body });
        match found {
            Some(found) if keep || found.body == body => Ok(CommentId(found.id)),
            Some(found) => {
                let id = found.id.to_string();
                let path = ["issues", "comments", id.as_str()];
                let what = format!("editing our comment on #{number}");
                self.write(Method::PATCH, &path, text, &[200], what).await?;
                Ok(CommentId(found.id))
            }
            None => {
                let number_text = number.to_string();
                let path = ["issues", number_text.as_str(), "comments"];
                let what = format!("commenting on #{number}");
                let answer = self.write(Method::POST, &path, text, &[201], what).await?;
                Ok(CommentId(answer.read::<RawComment>()?.id))
            }
        }
    }

    /// Makes the status of this name on this commit say this.
    pub(super) async fn ensure_check(
        &self,
        check: &CheckReport,
        page: Option<&str>,
    ) -> Result<(), Error> {
        let (state, line, page) = (state(check.state), line(&check.title), page.unwrap_or(""));
        let sha = check.sha.as_str();
        let what = || format!("commit {}", check.sha.short());
        let me = self.home.me().await?.id;
        // A commit that is not there is told by this read; the write would say that the forge is broken.
        let call = Call::new(Method::GET, ["commits", sha, "status"], what());
        let latest = self.combined(call).await?;
        let same = latest.statuses.iter().any(|status| {
            status.context == check.name
                && status.status == state
                && status.description == line
                && status.target_url == page
                && status.creator.as_ref().is_some_and(|user| user.id == me)
        });
        if same {
            return Ok(());
        }
        let body = json!({
            "context": check.name, "state": state, "description": line, "target_url": page,
        });
        let path = ["statuses", sha];
        self.write(Method::POST, &path, body, &[201], what())
            .await?;
        Ok(())
    }

    /// The newest status of each name.
    async fn combined(&self, call: Call) -> Result<RawCombined, Error> {
        /// Names on one commit that are looked through; beyond, a status is written again, which does no harm.
        const PAGES_MAX: usize = 4;
        let mut all = RawCombined::default();
        for page in 1..=PAGES_MAX {
            let page = call
                .clone()
                .query("page", page.to_string())
                .query("limit", "50");
            let answer = self.send(page, &[200]).await?;
            let one: RawCombined = answer.read()?;
            let is_end = one.statuses.is_empty();
            all.statuses.extend(one.statuses);
            if is_end
                || answer
                    .total
                    .is_some_and(|total| all.statuses.len() >= total)
            {
                break;
            }
        }
        Ok(all)
    }
}

/// Whether the first line of `body` is `mark`.
pub(super) fn begins(body: &str, mark: &str) -> bool {
    body.lines()
        .next()
        .is_some_and(|line| line.trim_end() == mark)
}

/// A state of ours as one of Gitea's.
///
/// Nothing to say is `skipped`: it does not hold a merge up where the name is required, and it is not green.
fn state(state: CheckState) -> &'static str {
    match state {
        CheckState::Pending | CheckState::ActionRequired => "pending",
        CheckState::Success => "success",
        CheckState::Failure | CheckState::TimedOut => "failure",
        CheckState::Neutral => "skipped",
    }
}

/// One line without blanks around it, which Gitea would take off.
fn line(title: &str) -> String {
    let words: Vec<&str> = title.split_whitespace().collect();
    words.join(" ").chars().take(LINE_MAX).collect()
}

/// `body` in at most [`BODY_MAX`] characters, cut at the end of a line, an open code block closed.
pub(super) fn capped(body: &str) -> String {
    if body.chars().count() <= BODY_MAX {
        return body.to_owned();
    }
    let room = BODY_MAX - CUT.len() - 200;
    let mut out = String::new();
    let mut left = room;
    for line in body.split_inclusive('\n') {
        let length = line.chars().count();
        if length > left {
            // A line that is too long by itself is cut inside, or nothing would be left.
            if out.chars().count() < room / 2 {
                out.extend(line.chars().take(left));
            }
            break;
        }
        out.push_str(line);
        left -= length;
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    if let Some(fence) = open_fence(&out) {
        out.push_str(&fence);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(CUT);
    out.push('\n');
    out
}

/// What closes the code block that is open at the end.
fn open_fence(text: &str) -> Option<String> {
    let mut open: Option<(char, usize)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let line = line.trim_start_matches(' ');
        let Some(sign) = line.chars().next().filter(|c| matches!(c, '`' | '~')) else {
            continue;
        };
        let run = line.chars().take_while(|c| *c == sign).count();
        let rest = line.trim_start_matches(sign);
        open = match open {
            _ if indent > 3 || run < 3 => open,
            None if sign == '`' && rest.contains('`') => None,
            None => Some((sign, run)),
            Some((of, at_least)) if of == sign && run >= at_least && rest.trim().is_empty() => None,
            open => open,
        };
    }
    // Never longer than what is kept free for it.
    open.map(|(sign, run)| String::from(sign).repeat(run.min(150)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_fits_is_left_as_it_is() {
        let body = "ü".repeat(BODY_MAX);
        assert_eq!(capped(&body), body);
    }

    #[test]
    fn a_long_body_is_cut_at_a_line_and_its_code_block_is_closed() {
        let body = format!("<!-- mark -->\n````text\n{}", "🦀 line\n".repeat(20_000));
        let cut = capped(&body);
        assert!(cut.chars().count() <= BODY_MAX);
        assert!(cut.starts_with("<!-- mark -->\n"));
        assert!(cut.ends_with(
            "🦀 line\n````\n\n*(cut here: the text is longer than a comment may be)*\n"
        ));
    }

    #[test]
    fn a_single_line_that_is_too_long_is_cut_inside() {
        let cut = capped(&format!("<!-- mark -->\n{}", "x".repeat(70_000)));
        let length = cut.chars().count();
        assert!(length <= BODY_MAX && length > BODY_MAX - 1_000, "{length}");
    }

    #[test]
    fn a_fence_is_open_until_one_as_long_stands_alone() {
        for (text, open) in [
            ("```\na\n", Some("```")),
            ("```\na\n```\n", None),
            ("````\n```\n", Some("````")),
            ("~~~ x\n```\n", Some("~~~")),
            ("```a``` b\n", None),
            ("    ```\n", None),
            ("```\n``` no\n", Some("```")),
        ] {
            assert_eq!(open_fence(text).as_deref(), open, "{text:?}");
        }
    }
}
