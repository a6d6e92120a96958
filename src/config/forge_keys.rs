//! The repository file's keys that only a served forge reads.

use super::forms::Form;
use super::kinds::{DAY, Kind, Section, duration, key};
use crate::domain::settings::Settings;

/// Most accounts that one key names.
const MOST_LOGINS: usize = 100;

pub(super) const TRIGGER: Section<Settings> = Section {
    name: "trigger",
    doc: "Who and what starts something on a forge.",
    keys: &[
        key(
            "label",
            Kind::Text {
                form: Form::Label,
                at: |s| &mut s.trigger.label,
            },
            "The label that asks for a task.",
        ),
        key(
            "allow",
            Kind::Word {
                words: &["triage", "write", "maintain", "admin"],
                at: |s| &mut s.trigger.allow,
            },
            "The least right that starts a task; looked up at the forge for each act.",
        ),
        key(
            "allow_users",
            Kind::List {
                form: Form::Login,
                max: MOST_LOGINS,
                at: |s| &mut s.trigger.allow_users,
            },
            "People who may start a task whatever their right.",
        ),
        key(
            "ignore_users",
            Kind::List {
                form: Form::Login,
                max: MOST_LOGINS,
                at: |s| &mut s.trigger.ignore_users,
            },
            "Accounts that are programs, where the forge does not say so; they neither start nor steer.",
        ),
        key(
            "verify",
            Kind::Word {
                words: &["asked", "label", "agents", "all"],
                at: |s| &mut s.trigger.verify,
            },
            "The referee runs where a command asks; also where someone with write puts the label; also on what programs open; on all.",
        ),
        key(
            "verify_per_hour",
            Kind::Whole {
                min: 1,
                max: 100,
                at: |s| &mut s.trigger.verify_per_hour,
            },
            "Most runs of the referee in an hour that no command asked for.",
        ),
        key(
            "prefix",
            Kind::Text {
                form: Form::Prefix,
                at: |s| &mut s.trigger.prefix,
            },
            "What a command in a comment begins with.",
        ),
    ],
};

pub(super) const PULL: Section<Settings> = Section {
    name: "pr",
    doc: "How the result is published.",
    keys: &[
        key(
            "draft",
            Kind::Word {
                words: &["until-approved", "until-verified", "never"],
                at: |s| &mut s.pull.draft,
            },
            "Until when the pull request is a draft, where the forge has drafts.",
        ),
        key(
            "reviewers",
            Kind::List {
                form: Form::Reviewer,
                max: 15,
                at: |s| &mut s.pull.reviewers,
            },
            "Who is asked to review: who started the task, the owners of the changed files, people by name.",
        ),
        key(
            "labels",
            Kind::List {
                form: Form::Label,
                max: 20,
                at: |s| &mut s.pull.labels,
            },
            "Put on the pull request.",
        ),
        key(
            "closes_issue",
            Kind::Bool(|s| &mut s.pull.closes_issue),
            "Merging the pull request closes the issue.",
        ),
        key(
            "sign_off",
            Kind::Bool(|s| &mut s.pull.sign_off),
            "Write a `Signed-off-by` of whoever started the task into the commit, where an address of theirs is known.",
        ),
        key(
            "trailers",
            Kind::Bool(|s| &mut s.pull.trailers),
            "Write the `Agent-Task` and `Co-authored-by` trailers into the commit.",
        ),
        key(
            "close_grace",
            duration(0, 7 * DAY, |s| &mut s.pull.close_grace_secs),
            "A closed pull request reopened before that goes on as it was; then the branch is deleted.",
        ),
        key(
            "on_verify_fail",
            Kind::Word {
                words: &["no-pr", "draft"],
                at: |s| &mut s.pull.on_verify_fail,
            },
            "What is shown of a result whose required checks are red: nothing, or a draft that says so.",
        ),
    ],
};

pub(super) const REVIEW: Section<Settings> = Section {
    name: "review",
    doc: "What a review does, and who approves.",
    keys: &[
        key(
            "fix_on",
            Kind::Word {
                words: &["changes-requested", "command"],
                at: |s| &mut s.review.fix_on,
            },
            "What starts a round: a review that requests changes, too, or the command `fix` alone.",
        ),
        key(
            "approve_min",
            Kind::Word {
                words: &["write", "maintain", "admin"],
                at: |s| &mut s.review.approve_min,
            },
            "The least right that approves what a gate asks about.",
        ),
        key(
            "requester_may_approve",
            Kind::Switch(|s| &mut s.review.requester_may_approve),
            "Whether the one who started a task may approve its result; `\"auto\"` = only where nobody else could.",
        ),
    ],
};

pub(super) const MESSAGES: Section<Settings> = Section {
    name: "messages",
    doc: "What is written on the issue.",
    keys: &[
        key(
            "progress",
            Kind::Word {
                words: &["sticky", "final", "off"],
                at: |s| &mut s.messages.progress,
            },
            "What the status comment tells on the way: every step, changes of stage, only what waits for a person.",
        ),
        key(
            "mention",
            Kind::Word {
                words: &["requester", "none"],
                at: |s| &mut s.messages.mention,
            },
            "Who is mentioned where it is someone's turn.",
        ),
    ],
};
