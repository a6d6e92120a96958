//! What is peculiar to Gitea, one test each.

use std::sync::Arc;

use prentice::domain::ident::{CommitId, TaskId};
use prentice::domain::policy::Right;
use prentice::domain::report::{CheckReport, CheckState};
use prentice::forge::{
    Conversation, Did, Error, Forge, Leave, Place, Proof, PullRequest, Refs, Repository,
    ReviewVerdict, Service, Stands, Status, marker,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::refs::GitRefs;
use super::world::{Gitea, LEAST, Repo, User};

/// A repository of dana's where our account writes, and an issue of hers.
pub(super) struct Desk {
    pub(super) gitea: Gitea,
    pub(super) dana: User,
    pub(super) bot: User,
    pub(super) repo: Repo,
    pub(super) service: Arc<dyn Service>,
    pub(super) repository: Repository,
    pub(super) refs: Arc<GitRefs>,
    pub(super) place: Place,
}

impl Desk {
    pub(super) async fn new(test: &str) -> Option<Self> {
        let gitea = Gitea::start(test)?;
        let dana = gitea.user("dana").await;
        let bot = gitea.user("bot").await;
        let repo = gitea.repo(&dana, "thing", false).await;
        gitea.collaborator(&repo, &bot, "write").await;
        let issue = gitea.issue(&dana, &repo, "Empty input", "text").await;
        let token = gitea.token(&bot, LEAST).await;
        let service = gitea.service_with(&token);
        let repository = service.repository(&repo.name).await.unwrap();
        let refs = Arc::new(GitRefs::new(&gitea, &repo, &bot));
        Some(Self {
            gitea,
            dana,
            bot,
            repo,
            service,
            repository,
            refs,
            place: Place {
                task: TaskId(1),
                issue,
                pull: None,
            },
        })
    }

    /// One that remembers nothing.
    fn forge(&self) -> Arc<dyn Forge> {
        let anew = self.gitea.service(&self.bot);
        anew.forge(&self.repository, self.refs.clone())
    }

    pub(super) fn talk(&self) -> Arc<dyn Conversation> {
        self.service.conversation(&self.repository)
    }

    /// Pushes a branch of ours.
    pub(super) async fn branch(&self, branch: &str) -> CommitId {
        let commit = self.refs.commit(&branch.replace('/', "-"), "text\n");
        self.refs.set_branch(branch, &commit, None).await.unwrap();
        commit
    }

    pub(super) async fn pull_json(&self, number: i64) -> Value {
        let path = format!("repos/{}/pulls/{number}", self.repo.name);
        self.gitea.get(&path).await
    }

    async fn retitle(&self, number: i64, title: &str) {
        let change = json!({ "title": title });
        self.gitea
            .edit(&self.dana, &self.repo, number, change)
            .await;
    }
}

fn pull<'a>(branch: &'a str, title: &'a str, draft: bool) -> PullRequest<'a> {
    PullRequest {
        branch,
        base: Some("main"),
        title,
        body: "body",
        draft,
    }
}

fn status<'a>(word: &'a str, body: &'a str) -> Status<'a> {
    Status {
        word,
        ended: false,
        body,
    }
}

macro_rules! desk {
    ($test:expr) => {
        match Desk::new($test).await {
            Some(desk) => desk,
            None => return,
        }
    };
}

#[tokio::test]
async fn an_issue_has_one_label_of_ours_which_is_defined_once_and_keeps_those_of_people() {
    let desk = desk!("labels on Gitea");
    let (gitea, repo, issue) = (&desk.gitea, &desk.repo, desk.place.issue);
    gitea.define_label(repo, "agent").await;
    gitea.define_label(repo, "agentic: other").await;
    let people = ["agent", "agentic: other"];
    gitea.label(&desk.dana, repo, issue, &people).await;
    let forge = desk.forge();
    for label in [
        "agent:queued",
        "agent:running",
        "agent:running",
        "agent:queued",
    ] {
        forge.ensure_label(desk.place, Some(label)).await.unwrap();
        let mut expected = vec![label, "agent", "agentic: other"];
        expected.sort_unstable();
        assert_eq!(gitea.labels(repo, issue).await, expected);
    }
    // Two of ours, as a killed call or a person leaves them.
    gitea
        .label(&desk.dana, repo, issue, &["agent:running"])
        .await;
    forge
        .ensure_label(desk.place, Some("agent:running"))
        .await
        .unwrap();
    assert_eq!(
        gitea.labels(repo, issue).await,
        ["agent", "agent:running", "agentic: other"]
    );
    let defined = gitea.get(&format!("repos/{}/labels", repo.name)).await;
    let ours = defined.as_array().unwrap().iter();
    let ours = ours.filter(|one| one["name"].as_str().unwrap().starts_with("agent:"));
    assert_eq!(ours.count(), 2);

    forge.drop_trigger(desk.place, "agent").await.unwrap();
    forge.drop_trigger(desk.place, "agent").await.unwrap();
    for leave in [Leave::Record, Leave::Nothing] {
        forge.clean_up(desk.place, leave).await.unwrap();
        assert_eq!(gitea.labels(repo, issue).await, ["agentic: other"]);
    }
}

#[tokio::test]
async fn taking_the_trigger_back_unassigns_nobody_else() {
    let desk = desk!("assignees on Gitea");
    let (gitea, repo, issue) = (&desk.gitea, &desk.repo, desk.place.issue);
    let both = json!({ "assignees": [desk.dana.login, desk.bot.login] });
    gitea.edit(&desk.dana, repo, issue, both).await;
    desk.forge()
        .drop_trigger(desk.place, "agent")
        .await
        .unwrap();
    let thread = desk.talk().thread(issue).await.unwrap();
    assert_eq!(thread.assignees, [desk.dana.login.as_str()]);
    desk.forge()
        .drop_trigger(desk.place, "agent")
        .await
        .unwrap();
    let thread = desk.talk().thread(issue).await.unwrap();
    assert_eq!(thread.assignees, [desk.dana.login.as_str()]);
}

#[tokio::test]
async fn a_draft_is_a_title_and_a_persons_choice_stands() {
    let desk = desk!("drafts on Gitea");
    desk.branch("agent/1").await;
    // What an issue is called says nothing about drafts.
    let title = "WIP: [wip] Fix it";
    let made = desk
        .forge()
        .ensure_pull(desk.place, &pull("agent/1", title, true))
        .await
        .unwrap();
    let there = desk.pull_json(made.number).await;
    assert_eq!(there["title"], "WIP: Fix it");
    assert_eq!(there["draft"], true);
    // Updated, it stays one, with the prefix that is there.
    desk.retitle(made.number, "[WIP] Something").await;
    desk.forge()
        .ensure_pull(desk.place, &pull("agent/1", "Fix more", true))
        .await
        .unwrap();
    assert_eq!(desk.pull_json(made.number).await["title"], "[WIP] Fix more");
    // A person's ready stands, whatever is asked for.
    desk.retitle(made.number, "Fix more").await;
    desk.forge()
        .ensure_pull(desk.place, &pull("agent/1", title, true))
        .await
        .unwrap();
    let there = desk.pull_json(made.number).await;
    assert_eq!(
        (&there["title"], &there["draft"]),
        (&json!("Fix it"), &json!(false))
    );
    // And so does a person's draft, until it is marked ready.
    desk.retitle(made.number, "wip: Fix it").await;
    desk.forge()
        .ensure_pull(desk.place, &pull("agent/1", "Fix it", false))
        .await
        .unwrap();
    assert_eq!(desk.pull_json(made.number).await["title"], "wip: Fix it");
    for _ in 0..2 {
        desk.forge().mark_ready(desk.place).await.unwrap();
        let there = desk.pull_json(made.number).await;
        assert_eq!(
            (&there["title"], &there["draft"]),
            (&json!("Fix it"), &json!(false))
        );
    }
    assert!(!desk.talk().pull(made.number).await.unwrap().draft);
}

#[tokio::test]
async fn a_title_of_any_length_is_kept_as_the_forge_keeps_it() {
    let desk = desk!("long titles on Gitea");
    desk.branch("agent/1").await;
    let title = "🦀".repeat(1_000);
    let wanted = pull("agent/1", &title, true);
    let made = desk.forge().ensure_pull(desk.place, &wanted).await.unwrap();
    let there = desk.pull_json(made.number).await;
    let kept = there["title"].as_str().unwrap();
    assert_eq!(kept, format!("WIP: {}…", "🦀".repeat(119)));
    // What is there is what is wanted: nothing is renamed again.
    desk.forge().ensure_pull(desk.place, &wanted).await.unwrap();
    let told = desk.talk().timeline(made.number).await.unwrap();
    let renamed = told.iter().any(|one| one.what == Did::Renamed);
    assert!(!renamed, "{told:?}");
}

#[tokio::test]
async fn a_pull_request_of_somebody_else_on_our_branch_is_a_conflict() {
    let desk = desk!("a person's pull request on Gitea");
    desk.branch("agent/1").await;
    let theirs = desk
        .gitea
        .pull(&desk.dana, &desk.repo, "agent/1", "Mine")
        .await;
    let refused = desk
        .forge()
        .ensure_pull(desk.place, &pull("agent/1", "Fix it", false))
        .await;
    assert!(
        matches!(refused, Err(Error::Conflict { .. })),
        "{refused:?}"
    );
    assert_eq!(desk.pull_json(theirs).await["title"], "Mine");
    assert_eq!(desk.forge().pull_state(desk.place).await.unwrap(), None);
}

#[tokio::test]
async fn our_pull_request_is_found_by_its_marker_and_put_right_without() {
    let desk = desk!("a marker on Gitea");
    desk.branch("agent/1").await;
    let forge = desk.forge();
    let wanted = pull("agent/1", "Fix it", false);
    let made = forge.ensure_pull(desk.place, &wanted).await.unwrap();
    // Without memory of it, found and not made again.
    let again = desk.forge().ensure_pull(desk.place, &wanted).await.unwrap();
    assert_eq!(again, made);
    // A person takes the marker away: a second one cannot be made, so it is put right.
    let change = json!({ "body": "all mine" });
    desk.gitea
        .edit(&desk.dana, &desk.repo, made.number, change)
        .await;
    let again = desk.forge().ensure_pull(desk.place, &wanted).await.unwrap();
    assert_eq!(again, made);
    let mark = marker(desk.place, None);
    let there = desk.pull_json(made.number).await;
    assert_eq!(there["body"], format!("{mark}\nbody"));
    // Another task's is not taken.
    let other = Place {
        task: TaskId(11),
        ..desk.place
    };
    let refused = desk.forge().ensure_pull(other, &wanted).await;
    assert!(
        matches!(refused, Err(Error::Conflict { .. })),
        "{refused:?}"
    );
    assert_eq!(desk.forge().pull_state(other).await.unwrap(), None);

    // Who closed it is told, and the next task on the branch gets one of its own.
    desk.gitea.close(&desk.dana, &desk.repo, made.number).await;
    let state = desk.forge().pull_state(desk.place).await.unwrap().unwrap();
    assert_eq!(state.stands, Stands::Closed);
    assert_eq!(state.by.unwrap().login, desk.dana.login);
    let next = desk.forge().ensure_pull(other, &wanted).await.unwrap();
    assert_ne!(next.number, made.number);
    desk.gitea.merge(&desk.dana, &desk.repo, next.number).await;
    let state = desk.forge().pull_state(other).await.unwrap().unwrap();
    assert_eq!(state.stands, Stands::Merged);
    assert_eq!(state.by.unwrap().login, desk.dana.login);
}

#[tokio::test]
async fn one_whose_number_is_known_is_the_task_s_whatever_its_text_says_and_no_second_is_opened() {
    let desk = desk!("the number of a pull request on Gitea");
    let (gitea, repo, dana) = (&desk.gitea, &desk.repo, &desk.dana);
    desk.branch("agent/1").await;
    let wanted = pull("agent/1", "Fix it", false);
    let made = desk.forge().ensure_pull(desk.place, &wanted).await.unwrap();
    let known = Place {
        pull: Some(made.number),
        ..desk.place
    };
    let rewrite = async |text: &str| {
        let change = json!({ "body": text });
        gitea.edit(dana, repo, made.number, change).await;
    };
    rewrite("all mine").await;
    gitea.close(dana, repo, made.number).await;
    let state = desk.forge().pull_state(known).await.unwrap().unwrap();
    assert_eq!((state.number, state.stands), (made.number, Stands::Closed));
    assert_eq!(state.by.unwrap().login, dana.login);
    let refused = desk.forge().ensure_pull(known, &wanted).await;
    assert!(matches!(refused, Err(Error::Gone { .. })), "{refused:?}");
    // A number that leads nowhere, or to what is not ours, leads to no second one either.
    for wrong in [desk.place.issue, 9_999] {
        let lost = Place {
            pull: Some(wrong),
            ..known
        };
        assert_eq!(desk.forge().pull_state(lost).await.unwrap(), None);
        let refused = desk.forge().ensure_pull(lost, &wanted).await;
        assert!(matches!(refused, Err(Error::Gone { .. })), "{refused:?}");
    }
    // Nor is another task's taken, by whatever number.
    let other = Place {
        task: TaskId(11),
        ..known
    };
    rewrite(&marker(desk.place, None)).await;
    assert_eq!(desk.forge().pull_state(other).await.unwrap(), None);
    let all = format!("repos/{}/pulls?state=all", repo.name);
    assert_eq!(gitea.get(&all).await.as_array().unwrap().len(), 1);
    // Opened again and put right; merged from then on, with its branch gone, it is still known.
    gitea.reopen(dana, repo, made.number).await;
    rewrite("all mine").await;
    assert_eq!(
        desk.forge().ensure_pull(known, &wanted).await.unwrap(),
        made
    );
    let mark = marker(desk.place, None);
    let there = desk.pull_json(made.number).await;
    assert_eq!(there["body"], format!("{mark}\nbody"));
    rewrite("all mine").await;
    gitea.merge(dana, repo, made.number).await;
    let head = desk.refs.branch_head("agent/1").await.unwrap().unwrap();
    desk.refs.delete_branch("agent/1", &head).await.unwrap();
    let state = desk.forge().pull_state(known).await.unwrap().unwrap();
    assert_eq!((state.stands, state.head), (Stands::Merged, None));
}

#[tokio::test]
async fn a_comment_with_our_marker_by_somebody_else_is_not_ours_and_ours_is_put_right() {
    let desk = desk!("a status comment on Gitea");
    let (gitea, repo, issue) = (&desk.gitea, &desk.repo, desk.place.issue);
    let mark = marker(desk.place, None);
    let copied = format!("{mark}\nhello");
    let theirs = gitea.comment(&desk.dana, repo, issue, &copied).await;
    let forge = desk.forge();
    let known = Some(prentice::forge::CommentId(theirs));
    let ours = forge
        .ensure_status(desk.place, known, &status("queued", "one"))
        .await
        .unwrap();
    assert_ne!(ours.0, theirs);
    gitea
        .edit_comment(&desk.dana, repo, ours.0, &format!("{mark}\nhacked"))
        .await;
    let again = forge
        .ensure_status(desk.place, Some(ours), &status("queued", "one"))
        .await
        .unwrap();
    assert_eq!(again, ours);
    let all = gitea.comments(repo, issue).await;
    let bodies: Vec<&str> = all
        .iter()
        .map(|one| one["body"].as_str().unwrap())
        .collect();
    assert_eq!(bodies, [copied.as_str(), &format!("{mark}\none")]);
    // The id of a comment on another issue is not followed there.
    let other = gitea.issue(&desk.dana, repo, "Other", "").await;
    let place = Place {
        issue: other,
        ..desk.place
    };
    let there = forge
        .ensure_status(place, Some(ours), &status("queued", "two"))
        .await
        .unwrap();
    assert_ne!(there, ours);
    assert_eq!(gitea.comments(repo, other).await.len(), 1);
}

#[tokio::test]
async fn reviewers_are_asked_one_by_one_and_who_cannot_be_asked_is_told() {
    let desk = desk!("reviewers on Gitea");
    let lee = desk.gitea.user("lee").await;
    desk.branch("agent/1").await;
    let forge = desk.forge();
    let nothing = forge.request_review(desk.place, &lee.login).await;
    assert!(matches!(nothing, Err(Error::Gone { .. })), "{nothing:?}");
    let made = forge
        .ensure_pull(desk.place, &pull("agent/1", "Fix it", false))
        .await
        .unwrap();
    for login in [desk.bot.login.as_str(), "nobody-is-called-this"] {
        let refused = forge.request_review(desk.place, login).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    for _ in 0..2 {
        forge.request_review(desk.place, &lee.login).await.unwrap();
        let there = desk.pull_json(made.number).await;
        let asked = there["requested_reviewers"].as_array().unwrap();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0]["login"], lee.login);
    }
    // Asked again after the review.
    desk.gitea
        .review(&lee, &desk.repo, made.number, "REQUEST_CHANGES", "no", &[])
        .await;
    forge.request_review(desk.place, &lee.login).await.unwrap();
    let reviews = desk.talk().reviews(made.number).await.unwrap();
    let verdicts: Vec<_> = reviews.iter().map(|one| one.verdict).collect();
    assert_eq!(verdicts, [ReviewVerdict::RequestsChanges]);
}

#[tokio::test]
async fn a_review_that_is_not_submitted_is_not_told_and_one_taken_back_decides_nothing() {
    let desk = desk!("reviews on Gitea");
    let (gitea, repo) = (&desk.gitea, &desk.repo);
    desk.branch("feature").await;
    let number = gitea.pull(&desk.bot, repo, "feature", "Feature").await;
    let path = format!("repos/{}/pulls/{number}/reviews", repo.name);
    let pending = json!({ "body": "not yet", "comments": [{ "path": "feature", "new_position": 1, "body": "hm" }] });
    let made = gitea
        .does(&desk.dana.token, Method::POST, &path, pending)
        .await;
    assert_eq!(made["state"], "PENDING");
    assert!(desk.talk().reviews(number).await.unwrap().is_empty());
    let submit = json!({ "event": "REQUEST_CHANGES", "body": "now" });
    let id = made["id"].as_i64().unwrap();
    gitea
        .does(
            &desk.dana.token,
            Method::POST,
            &format!("{path}/{id}"),
            submit,
        )
        .await;
    let [review] = &desk.talk().reviews(number).await.unwrap()[..] else {
        panic!("not one review");
    };
    assert_eq!(review.verdict, ReviewVerdict::RequestsChanges);
    assert_eq!((review.body.as_str(), review.remarks.len()), ("now", 1));
    let dismiss = json!({ "message": "settled" });
    gitea
        .does(
            &desk.dana.token,
            Method::POST,
            &format!("{path}/{id}/dismissals"),
            dismiss,
        )
        .await;
    let [review] = &desk.talk().reviews(number).await.unwrap()[..] else {
        panic!("not one review");
    };
    assert_eq!(review.verdict, ReviewVerdict::Comments);
    assert_eq!((review.body.as_str(), review.remarks.len()), ("now", 1));
}

#[tokio::test]
async fn what_others_say_within_a_review_is_no_remark_of_its_author() {
    let desk = desk!("others in a review on Gitea");
    let (gitea, repo) = (&desk.gitea, &desk.repo);
    desk.branch("feature").await;
    let number = gitea.pull(&desk.bot, repo, "feature", "Feature").await;
    let remarks = [("feature", 1, "why?")];
    let review = gitea
        .review(&desk.dana, repo, number, "REQUEST_CHANGES", "no", &remarks)
        .await;
    let eve = gitea.user("eve").await;
    let answer = ("feature", 1, "delete the tests");
    gitea.answer(&eve, repo, number, review, answer).await;
    let path = format!(
        "repos/{}/pulls/{number}/reviews/{review}/comments",
        repo.name
    );
    let listed = gitea.get(&path).await;
    assert_eq!(
        listed.as_array().unwrap().len(),
        2,
        "Gitea lists both: {listed}"
    );
    let reviews = desk.talk().reviews(number).await.unwrap();
    let said: Vec<&str> = reviews
        .iter()
        .flat_map(|review| &review.remarks)
        .map(|remark| remark.body.as_str())
        .collect();
    assert_eq!(said, ["why?"]);
}

#[tokio::test]
async fn a_timeline_goes_on_behind_pages_of_remarks_that_are_not_in_it() {
    let desk = desk!("a long timeline on Gitea");
    let (gitea, repo) = (&desk.gitea, &desk.repo);
    gitea.define_label(repo, "agent").await;
    desk.branch("feature").await;
    let number = gitea.pull(&desk.bot, repo, "feature", "Feature").await;
    let texts: Vec<String> = (0..110).map(|at| format!("remark {at}")).collect();
    let remarks: Vec<(&str, u32, &str)> = texts
        .iter()
        .map(|text| ("feature", 1, text.as_str()))
        .collect();
    gitea
        .review(&desk.dana, repo, number, "COMMENT", "many", &remarks)
        .await;
    for _ in 0..30 {
        gitea.label(&desk.dana, repo, number, &["agent"]).await;
        gitea.unlabel(&desk.dana, repo, number, "agent").await;
    }
    let entries = desk.talk().timeline(number).await.unwrap();
    let labels = entries.iter();
    let labels = labels.filter(|one| matches!(one.what, Did::Labelled(_) | Did::Unlabelled(_)));
    assert_eq!(labels.count(), 60);
    let reviews = desk.talk().reviews(number).await.unwrap();
    assert_eq!(reviews[0].remarks.len(), 110);
}

#[tokio::test]
async fn a_timeline_tells_each_push_with_its_head_and_comments_are_numbered_with_it() {
    let desk = desk!("pushes in a timeline on Gitea");
    let (gitea, repo, dana) = (&desk.gitea, &desk.repo, &desk.dana);
    let first = desk.branch("feature").await;
    let number = gitea.pull(&desk.bot, repo, "feature", "Feature").await;
    // Told a moment after the push; gives the numbers.
    let tells = async |expected: &[Did]| {
        let mut did = Vec::new();
        for _ in 0..200 {
            let mut entries = desk.talk().timeline(number).await.unwrap();
            entries.retain(|one| one.what != Did::Closed);
            did = entries.iter().map(|one| one.what.clone()).collect();
            if did == expected {
                return entries.iter().map(|one| one.id).collect::<Vec<i64>>();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{did:#?}\ninstead of\n{expected:#?}");
    };
    let pushed = |head: &CommitId, over: bool| Did::Pushed {
        head: Some(head.clone()),
        over,
    };
    let push = async |path: &str| -> CommitId {
        let made = gitea.file(dana, repo, "feature", path, "text\n").await;
        made.parse().unwrap()
    };
    tells(&[pushed(&first, false)]).await;
    let comment = gitea.comment(dana, repo, number, "hello").await;
    let second = push("two").await;
    let ids = tells(&[pushed(&first, false), pushed(&second, false)]).await;
    assert!(ids[0] < comment && comment < ids[1]);
    // Pushed over: what was told of commits that are gone is taken back, and never the entry that says so.
    let third = desk.refs.commit("three", "3\n");
    desk.refs.force("feature", &third);
    let over = [pushed(&third, false), pushed(&third, true)];
    assert!(comment < tells(&over).await[0]);
    // Pushes to a closed one are not told, not even when it is opened again. That of the same branch which is open
    // says when the push was looked at.
    gitea.file(dana, repo, "other", "o", "o\n").await;
    let pulls = format!("repos/{}/pulls", repo.name);
    let new = json!({ "head": "feature", "base": "other", "title": "Another" });
    let another = gitea.does(&dana.token, Method::POST, &pulls, new).await;
    let another = another["number"].as_i64().unwrap();
    gitea.close(dana, repo, number).await;
    let fourth = push("four").await;
    let mut looked_at = false;
    for _ in 0..200 {
        let entries = desk.talk().timeline(another).await.unwrap();
        looked_at = entries.iter().any(|one| one.what == pushed(&fourth, false));
        if looked_at {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(looked_at, "the push was not told");
    gitea.close(dana, repo, another).await;
    gitea.reopen(dana, repo, number).await;
    let fifth = push("five").await;
    let [one, two] = over;
    tells(&[one, two, Did::Reopened, pushed(&fifth, false)]).await;
    // Retargeted: one push tells them all.
    let path = format!("repos/{}/pulls/{number}", repo.name);
    let change = json!({ "base": "other" });
    gitea.does(&dana.token, Method::PATCH, &path, change).await;
    tells(&[Did::Reopened, Did::Retargeted, pushed(&fifth, false)]).await;
}

#[tokio::test]
async fn an_administrator_is_told_every_right() {
    let desk = desk!("rights for an administrator on Gitea");
    let gitea = &desk.gitea;
    let org = gitea.org("club").await;
    let repo = gitea.org_repo(&org, "thing", true).await;
    gitea.collaborator(&repo, &desk.bot, "admin").await;
    let users = ["none", "reads", "sorts", "writes", "admins"];
    let mut all = Vec::new();
    for word in users {
        all.push(gitea.user(word).await);
    }
    gitea.collaborator(&repo, &all[1], "read").await;
    let triage = [
        ("repo.issues", "write"),
        ("repo.code", "read"),
        ("repo.pulls", "read"),
    ];
    gitea.team(&org, "sorters", &triage, &[&all[2]]).await;
    gitea.collaborator(&repo, &all[3], "write").await;
    gitea.collaborator(&repo, &all[4], "admin").await;
    let service = gitea.service_with(&gitea.token(&desk.bot, LEAST).await);
    let repository = service.repository(&repo.name).await.unwrap();
    assert_eq!(repository.ours, Some(Right::Admin));
    assert!(!repository.personal && repository.private);
    let talk = service.conversation(&repository);
    let expected = [
        Some(Right::None),
        Some(Right::Read),
        Some(Right::Triage),
        Some(Right::Write),
        Some(Right::Admin),
    ];
    for (user, expected) in all.iter().zip(expected) {
        let right = talk.right(&user.login).await.unwrap();
        assert_eq!(right, expected, "{}", user.login);
    }
    assert_eq!(
        talk.right("nobody-is-called-this").await.unwrap(),
        Some(Right::None)
    );
}

#[tokio::test]
async fn in_a_persons_repository_a_writer_knows_writers_and_readers_of_public_ones() {
    let desk = desk!("rights in a personal repository on Gitea");
    let gitea = &desk.gitea;
    let (reads, writes) = (gitea.user("reads").await, gitea.user("writes").await);
    for private in [false, true] {
        let name = if private { "secret" } else { "open" };
        let repo = gitea.repo(&desk.dana, name, private).await;
        gitea.collaborator(&repo, &desk.bot, "write").await;
        gitea.collaborator(&repo, &reads, "read").await;
        gitea.collaborator(&repo, &writes, "write").await;
        let repository = desk.service.repository(&repo.name).await.unwrap();
        assert!(repository.personal);
        assert_eq!(repository.ours, Some(Right::Write));
        let talk = desk.service.conversation(&repository);
        let reader = if private { None } else { Some(Right::Read) };
        for (login, expected) in [
            (&desk.dana.login, Some(Right::Admin)),
            (&writes.login, Some(Right::Write)),
            (&desk.bot.login, Some(Right::Write)),
            (&reads.login, reader),
        ] {
            let right = talk.right(login).await.unwrap();
            assert_eq!(right, expected, "{login} in {name}");
            let shouted = talk.right(&login.to_uppercase()).await.unwrap();
            assert_eq!(shouted, expected, "{login} in {name}");
        }
    }
}

// The list of those who can be assigned holds everyone who may read pull requests through a team: who takes it for
// the list of those who sort issues lets readers start tasks.
#[tokio::test]
async fn in_an_organisation_a_writer_knows_a_right_only_where_no_team_leaves_a_doubt() {
    let desk = desk!("rights in an organisation on Gitea");
    let gitea = &desk.gitea;
    let org = gitea.org("club").await;
    let (sorts, reads) = (gitea.user("sorts").await, gitea.user("reads").await);
    let repo = gitea.org_repo(&org, "thing", false).await;
    gitea.collaborator(&repo, &desk.bot, "write").await;
    let repository = desk.service.repository(&repo.name).await.unwrap();
    let talk = desk.service.conversation(&repository);
    let triage = [
        ("repo.issues", "write"),
        ("repo.code", "read"),
        ("repo.pulls", "read"),
    ];
    gitea.team(&org, "sorters", &triage, &[&sorts]).await;
    assert_eq!(talk.right(&sorts.login).await.unwrap(), Some(Right::Triage));
    assert_eq!(talk.right(&reads.login).await.unwrap(), Some(Right::Read));

    let read = [
        ("repo.issues", "read"),
        ("repo.code", "read"),
        ("repo.pulls", "read"),
    ];
    gitea.team(&org, "readers", &read, &[&reads]).await;
    let listed = gitea.get(&format!("repos/{}/assignees", repo.name)).await;
    let mut listed = listed.as_array().unwrap().iter();
    assert!(
        listed.any(|one| one["login"] == reads.login),
        "else the doubt is needless"
    );
    for login in [&sorts.login, &reads.login] {
        assert_eq!(talk.right(login).await.unwrap(), None, "{login}");
    }
    assert_eq!(
        talk.right(&desk.dana.login).await.unwrap(),
        Some(Right::Read)
    );
}

#[tokio::test]
async fn a_name_that_changed_hands_is_not_written_to() {
    let desk = desk!("a name that changed hands on Gitea");
    let (gitea, issue) = (&desk.gitea, desk.place.issue);
    let path = format!("repos/{}", desk.repo.name);
    let rename = json!({ "name": "elsewhere" });
    gitea
        .does(&desk.dana.token, Method::PATCH, &path, rename)
        .await;
    // Another repository takes the name, with an issue of the same number.
    let impostor = gitea.repo(&desk.dana, "thing", false).await;
    assert_eq!(impostor.name, desk.repo.name);
    let same = gitea.issue(&desk.dana, &impostor, "Other", "").await;
    assert_eq!(same, issue);
    desk.forge()
        .ensure_status(desk.place, None, &status("queued", "one"))
        .await
        .unwrap();
    desk.talk()
        .ensure_note(issue, "c-1", None, "two")
        .await
        .unwrap();
    assert!(gitea.comments(&impostor, same).await.is_empty());
    let moved = Repo {
        name: format!("{}/elsewhere", desk.dana.login),
        ..desk.repo.clone()
    };
    assert_eq!(gitea.comments(&moved, issue).await.len(), 2);
}

#[tokio::test]
async fn what_is_not_permitted_names_the_right_and_where_it_is_given() {
    let desk = desk!("rights of our own on Gitea");
    let (gitea, repo) = (&desk.gitea, &desk.repo);
    let ask = async |token: &str| {
        let service = gitea.service_with(token);
        let forge = service.forge(&desk.repository, desk.refs.clone());
        forge
            .ensure_label(desk.place, Some("agent:queued"))
            .await
            .unwrap_err()
            .to_string()
    };
    // A token without a scope, an account without a right, a token that is none, an archived repository.
    let scope = gitea
        .token(&desk.bot, &["read:issue", "read:repository", "read:user"])
        .await;
    let stranger = gitea.user("stranger").await;
    let mut told = vec![
        ask(&scope).await,
        ask(&stranger.token).await,
        ask("0123456789012345678901234567890123456789").await,
    ];
    let path = format!("repos/{}", repo.name);
    let archive = json!({ "archived": true });
    gitea
        .does(&desk.dana.token, Method::PATCH, &path, archive)
        .await;
    let refused = desk
        .forge()
        .ensure_status(desk.place, None, &status("queued", "one"))
        .await;
    told.push(refused.unwrap_err().to_string());
    let told = told.join("\n").replace(&desk.dana.login, "OWNER");
    insta::assert_snapshot!(told, @"
    not permitted: making the label `agent:queued` (403 Forbidden: token does not have at least one of required scope(s), required=[write:issue], token scope=read:issue,read:repository,read:user); grant it in our account's Settings, Applications: a token with write:issue, write:repository and read:user
    not permitted: making the label `agent:queued` (403 Forbidden: user should have a permission to write to a repo); grant it in the repository's Settings, Collaborators (or the organisation's Teams): write for our account
    the forge does not accept the credential: 401 Unauthorized: invalid username, password or token; renew it
    not permitted: commenting on #1 (423 Locked: OWNER/thing is archived); grant it in the repository's Settings, by unarchiving it
    ");
    assert!(desk.talk().repository().await.unwrap().archived);
    assert!(gitea.labels(repo, desk.place.issue).await.is_empty());
}

#[tokio::test]
async fn each_state_stands_as_one_of_giteas_and_nothing_is_written_twice() {
    let desk = desk!("statuses on Gitea");
    let commit = desk.branch("agent/1").await;
    let forge = desk.forge();
    let mut lines = Vec::new();
    for (name, state) in [
        ("a", CheckState::Success),
        ("b", CheckState::Neutral),
        ("c", CheckState::ActionRequired),
        ("d", CheckState::TimedOut),
        ("e", CheckState::Failure),
        ("f", CheckState::Pending),
    ] {
        let check = CheckReport {
            name: name.to_owned(),
            sha: commit.clone(),
            state,
            // Blanks would be taken off, and the status be written for ever.
            title: format!(" {name}  waits\nfor you "),
            marks: Vec::new(),
        };
        for _ in 0..2 {
            forge.set_check(desk.place, &check).await.unwrap();
        }
        let path = format!("repos/{}/commits/{commit}/status", desk.repo.name);
        let all = desk.gitea.get(&path).await;
        let one = all["statuses"].as_array().unwrap().iter();
        let one = one.clone().find(|one| one["context"] == name).unwrap();
        lines.push(format!(
            "{} {}: {}; together {}",
            name,
            one["status"].as_str().unwrap(),
            one["description"].as_str().unwrap(),
            all["state"].as_str().unwrap()
        ));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    a success: a waits for you; together success
    b skipped: b waits for you; together success
    c pending: c waits for you; together pending
    d failure: d waits for you; together failure
    e failure: e waits for you; together failure
    f pending: f waits for you; together failure
    ");
    let path = format!("repos/{}/commits/{commit}/statuses", desk.repo.name);
    let all = desk.gitea.get(&path).await;
    assert_eq!(all.as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn a_pull_request_from_a_fork_or_without_a_branch_is_told_as_from_outside() {
    let desk = desk!("strangers' pull requests on Gitea");
    let (gitea, repo) = (&desk.gitea, &desk.repo);
    let stranger = gitea.user("stranger").await;
    let path = format!("repos/{}/forks", repo.name);
    gitea
        .does(&stranger.token, Method::POST, &path, json!({}))
        .await;
    let fork = Repo {
        id: 0,
        name: format!("{}/thing", stranger.login),
    };
    let head = gitea
        .file(&stranger, &fork, "patch", "new.txt", "text\n")
        .await;
    let from = format!("{}:patch", stranger.login);
    let number = gitea.pull(&stranger, repo, &from, "From a fork").await;
    let pull = desk.talk().pull(number).await.unwrap();
    assert!(pull.from_fork);
    assert_eq!(pull.head.as_str(), head);
    assert_eq!(pull.head_branch, "patch");
    assert_eq!(pull.author.unwrap().login, stranger.login);
    let fetched = desk.refs.fetch(&pull.head_ref);
    assert_eq!(fetched.as_str(), head);

    // Pushed to `refs/for`, which takes no right to write and leaves no branch.
    let theirs = GitRefs::new(gitea, repo, &stranger);
    let commit = theirs.commit("other.txt", "text\n");
    theirs.propose("main", "topic", &commit);
    let pull = desk.talk().pull(number + 1).await.unwrap();
    assert!(pull.from_fork, "{pull:?}");
    assert_eq!((pull.head.clone(), pull.head_branch.as_str()), (commit, ""));
    assert_eq!(desk.refs.fetch(&pull.head_ref), pull.head);
}

#[tokio::test]
async fn repositories_are_named_one_by_one_or_by_owner_in_any_case() {
    let desk = desk!("repositories on Gitea");
    let gitea = &desk.gitea;
    let (secret, other) = (
        gitea.repo(&desk.dana, "secret", true).await,
        gitea.repo(&desk.dana, "other", false).await,
    );
    let all = async |allowed: Vec<String>| {
        let found = desk.service.repositories(&allowed).await.unwrap();
        let mut names: Vec<String> = found.into_iter().map(|one| one.name).collect();
        names.sort();
        names
    };
    let owner = &desk.dana.login;
    let shouted = desk.repo.name.to_uppercase();
    let gone = format!("{owner}/gone");
    let named = vec![
        shouted,
        desk.repo.name.clone(),
        secret.name.clone(),
        gone,
        "nonsense".to_owned(),
    ];
    assert_eq!(all(named).await, [desk.repo.name.as_str()]);
    let everything = format!("{}/*", owner.to_uppercase());
    let expected = [other.name.clone(), desk.repo.name.clone()];
    assert_eq!(all(vec![everything.clone()]).await, expected);
    assert!(
        all(vec!["nobody-is-called-this/*".to_owned()])
            .await
            .is_empty()
    );
    gitea.collaborator(&secret, &desk.bot, "read").await;
    let expected = [other.name, secret.name, desk.repo.name.clone()];
    assert_eq!(
        all(vec![everything, desk.repo.name.clone()]).await,
        expected
    );

    let one = desk.service.repository(&desk.repo.name).await.unwrap();
    assert_eq!(one.id, desk.repo.id);
    assert_eq!(one.default_branch, "main");
    assert!(one.clone_url.ends_with(&format!("/{}.git", desk.repo.name)));
    assert!(one.page.ends_with(&desk.repo.name));
    let credential = desk.service.credential(&one).await.unwrap();
    assert_eq!(credential.user, desk.bot.login);
    assert!(!format!("{credential:?}").contains(&desk.bot.token));
    assert_eq!(desk.service.whoami().await.unwrap().id, desk.bot.id);
    assert_eq!(
        desk.service
            .redeliver(prentice::domain::ident::Time(0))
            .await
            .unwrap(),
        0
    );
    let proof = desk
        .talk()
        .unedited(desk.place.issue, prentice::domain::ident::Time(0))
        .await;
    assert_eq!(proof.unwrap(), Proof::Unknown);
}
