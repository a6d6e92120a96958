//! One contract for reading what people do and answering it, for every forge that is served.

use std::collections::BTreeSet;

use async_trait::async_trait;
use prentice::domain::ident::{CommitId, Time};
use prentice::domain::policy::Right;
use prentice::domain::report::{CheckReport, CheckState};
use prentice::forge::{
    CommentId, Conversation, Did, Error, Reaction, ReviewVerdict, Stands, note_marker,
};

/// What people do on the forge, and what can be seen there. Acts are `owner`'s unless they say otherwise.
#[async_trait]
pub(crate) trait People: Send + Sync {
    fn conversation(&self) -> &dyn Conversation;
    /// Who may do everything.
    fn owner(&self) -> String;
    /// Whoever is not the owner and may review.
    fn reviewer(&self) -> String;
    /// Our account.
    fn bot(&self) -> String;
    /// The forge's clock goes on, by as much as it tells apart.
    async fn tick(&self);
    async fn open_issue(&self, title: &str, body: &str) -> i64;
    async fn delete_issue(&self, number: i64);
    async fn comment(&self, number: i64, body: &str) -> CommentId;
    async fn edit_comment(&self, id: CommentId, body: &str);
    async fn delete_comment(&self, id: CommentId);
    async fn label(&self, number: i64, name: &str);
    async fn unlabel(&self, number: i64, name: &str);
    async fn assign(&self, number: i64, login: Option<&str>);
    async fn rename(&self, number: i64, title: &str);
    async fn close(&self, number: i64);
    async fn reopen(&self, number: i64);
    /// A pull request of the owner's from a new branch that changes the line 1 of `README.md`.
    async fn open_pull(&self, branch: &str) -> (i64, CommitId);
    /// The reviewer is asked to look at it.
    async fn ask_review(&self, number: i64);
    /// The reviewer's.
    async fn review(
        &self,
        number: i64,
        verdict: ReviewVerdict,
        body: &str,
        remark: Option<(&str, u32, &str)>,
    );
    async fn merge(&self, number: i64);
    /// Someone else's reaction.
    async fn reacted(&self, comment: CommentId, reaction: Reaction);
    /// Who reacted how.
    async fn reactions(&self, comment: CommentId) -> BTreeSet<(String, String)>;
    /// Authors and bodies, oldest first.
    async fn comments(&self, number: i64) -> Vec<(String, String)>;
    /// Names and details of what stands on a commit, the newest of each name.
    async fn checks(&self, commit: &CommitId) -> Vec<(String, String)>;
    /// Gives the repository's new name.
    async fn rename_repository(&self) -> String;
}

/// Wants a repository with a branch `main` that has a file `README.md`, the label `agent` defined, and where our
/// account may write.
pub(crate) async fn contract(world: &dyn People) {
    an_issue_is_read_with_what_was_done_to_it(world).await;
    comments_are_read_and_answered(world).await;
    a_pull_request_is_read_with_its_reviews(world).await;
    what_changed_is_found(world).await;
    what_is_not_there_is_gone(world).await;
    rights_are_never_more_than_they_are(world).await;
    a_renamed_repository_is_followed(world).await;
}

async fn an_issue_is_read_with_what_was_done_to_it(world: &dyn People) {
    let talk = world.conversation();
    let bot = world.bot();
    let number = world
        .open_issue("Empty input", "Line\r\n\n`<b>` 🦀\n")
        .await;
    let thread = talk.thread(number).await.unwrap();
    assert_eq!(thread.number, number);
    assert_eq!(thread.title, "Empty input");
    assert_eq!(thread.body, "Line\r\n\n`<b>` 🦀\n");
    assert_eq!(thread.author.as_ref().unwrap().login, world.owner());
    assert!(thread.open && !thread.is_pull && !thread.locked);
    assert!(thread.labels.is_empty() && thread.assignees.is_empty());
    assert!(thread.created_at > Time(0) && thread.updated_at >= thread.created_at);
    assert!(thread.page.contains(&number.to_string()));

    world.label(number, "agent").await;
    world.unlabel(number, "agent").await;
    world.label(number, "agent").await;
    world.assign(number, Some(&bot)).await;
    let thread = talk.thread(number).await.unwrap();
    assert_eq!(thread.labels, ["agent"]);
    assert_eq!(thread.assignees, [bot.as_str()]);
    world.assign(number, None).await;
    world.rename(number, "No input").await;
    world.close(number).await;
    assert!(!talk.thread(number).await.unwrap().open);
    world.reopen(number).await;
    // Comments are no entries.
    world.comment(number, "hello").await;

    let entries = talk.timeline(number).await.unwrap();
    let did: Vec<Did> = entries.iter().map(|entry| entry.what.clone()).collect();
    assert_eq!(
        did,
        [
            Did::Labelled("agent".to_owned()),
            Did::Unlabelled("agent".to_owned()),
            Did::Labelled("agent".to_owned()),
            Did::Assigned(bot.clone()),
            Did::Unassigned(bot),
            Did::Renamed,
            Did::Closed,
            Did::Reopened,
        ]
    );
    for entry in &entries {
        assert_eq!(entry.by.as_ref().unwrap().login, world.owner());
        assert!(entry.at >= thread.created_at);
    }
    let ids: BTreeSet<i64> = entries.iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), entries.len());
    assert_eq!(talk.timeline(number).await.unwrap(), entries);
}

async fn comments_are_read_and_answered(world: &dyn People) {
    let talk = world.conversation();
    let number = world.open_issue("Talk", "").await;
    assert!(talk.comments(number, None).await.unwrap().is_empty());
    let first = world.comment(number, "/agent run\n").await;
    world.tick().await;
    let second = world.comment(number, "second").await;
    let all = talk.comments(number, None).await.unwrap();
    let ids: Vec<CommentId> = all.iter().map(|comment| comment.id).collect();
    assert_eq!(ids, [first, second]);
    assert_eq!(all[0].body, "/agent run\n");
    assert_eq!(all[0].author.as_ref().unwrap().login, world.owner());
    assert_ne!(all[0].edited, Some(true));
    assert_eq!(talk.comment(first).await.unwrap(), all[0]);

    // Only what changed since, edited ones among it; and an edit is told.
    let since = Some(all[1].created_at);
    let young = talk.comments(number, since).await.unwrap();
    assert_eq!(young, all[1..]);
    world.tick().await;
    world.edit_comment(first, "/agent stop").await;
    let edited = talk.comment(first).await.unwrap();
    assert_eq!(edited.body, "/agent stop");
    assert_ne!(edited.edited, Some(false));
    assert_eq!(edited.created_at, all[0].created_at);
    assert_eq!(talk.comments(number, since).await.unwrap().len(), 2);
    world.delete_comment(first).await;
    assert!(matches!(talk.comment(first).await, Err(Error::Gone { .. })));

    reactions_are_exactly_ours(world, second).await;
    a_note_is_made_once_and_kept_right(world, number).await;
}

async fn reactions_are_exactly_ours(world: &dyn People, comment: CommentId) {
    let talk = world.conversation();
    world.reacted(comment, Reaction::Confused).await;
    let theirs = world.reactions(comment).await;
    assert_eq!(theirs.len(), 1);
    let mut seen = BTreeSet::new();
    for reaction in [
        Reaction::Seen,
        Reaction::Done,
        Reaction::Confused,
        Reaction::Refused,
        Reaction::Refused,
    ] {
        talk.react(comment, Some(reaction)).await.unwrap();
        let all = world.reactions(comment).await;
        let ours: Vec<_> = all.difference(&theirs).collect();
        assert_eq!(ours.len(), 1, "{reaction:?}: {all:?}");
        assert_eq!(ours[0].0, world.bot());
        seen.insert(ours[0].1.clone());
    }
    assert_eq!(seen.len(), 4, "each looks different: {seen:?}");
    for _ in 0..2 {
        talk.react(comment, None).await.unwrap();
        assert_eq!(world.reactions(comment).await, theirs);
    }
}

async fn a_note_is_made_once_and_kept_right(world: &dyn People, number: i64) {
    let talk = world.conversation();
    let notes = || async {
        let mut all = world.comments(number).await;
        all.retain(|(author, body)| *author == world.bot() && body.starts_with("<!-- prentice"));
        all.into_iter()
            .filter_map(|(_, body)| Some(body.split_once('\n')?.1.to_owned()))
            .collect::<Vec<String>>()
    };
    // A person's copy of our marker is not ours.
    let copied = format!("{}\nhello", note_marker("c-1"));
    let copy = world.comment(number, &copied).await;
    let id = talk
        .ensure_note(number, "c-1", Some(copy), "one")
        .await
        .unwrap();
    assert_ne!(id, copy);
    for known in [Some(id), None] {
        let again = talk.ensure_note(number, "c-1", known, "two").await.unwrap();
        assert_eq!(again, id);
        assert_eq!(notes().await, ["two"]);
    }
    // One that a person wrote into is put right, with its marker or without.
    let mark = note_marker("c-1");
    world
        .edit_comment(id, &format!("{mark}\ntwo, and more"))
        .await;
    talk.ensure_note(number, "c-1", Some(id), "two")
        .await
        .unwrap();
    assert_eq!(notes().await, ["two"]);
    // Another key is another note, and begins alike.
    let other = talk
        .ensure_note(number, "c-11", None, "three")
        .await
        .unwrap();
    assert_ne!(other, id);
    assert_eq!(notes().await, ["two", "three"]);
    world.delete_comment(id).await;
    let anew = talk
        .ensure_note(number, "c-1", Some(id), "four")
        .await
        .unwrap();
    assert_ne!(anew, id);
    assert_eq!(notes().await, ["three", "four"]);
    assert_eq!(talk.comment(copy).await.unwrap().body, copied);
    // A text of any length is one comment.
    let long = "word ".repeat(20_000);
    talk.ensure_note(number, "long", None, &long).await.unwrap();
    let last = notes().await.pop().unwrap();
    let length = last.chars().count();
    assert!(length <= 60_000 && length > 50_000, "{length}");
}

async fn a_pull_request_is_read_with_its_reviews(world: &dyn People) {
    let talk = world.conversation();
    let (number, head) = world.open_pull("feature/of-dana").await;
    let pull = talk.pull(number).await.unwrap();
    assert_eq!((pull.number, pull.stands), (number, Stands::Open));
    assert_eq!(pull.author.as_ref().unwrap().login, world.owner());
    assert_eq!(pull.head, head);
    assert_eq!(pull.head_branch, "feature/of-dana");
    assert_eq!(pull.base_branch, "main");
    assert_eq!(pull.head_ref, format!("refs/pull/{number}/head"));
    assert!(!pull.from_fork && !pull.draft);
    let thread = talk.thread(number).await.unwrap();
    assert!(thread.is_pull && thread.open);
    assert!(matches!(talk.pull(9_999).await, Err(Error::Gone { .. })));

    assert!(talk.reviews(number).await.unwrap().is_empty());
    world.ask_review(number).await;
    // To be asked is not to have reviewed.
    assert!(talk.reviews(number).await.unwrap().is_empty());
    let remark = Some(("README.md", 1, "Why this?"));
    world
        .review(number, ReviewVerdict::Comments, "A look", remark)
        .await;
    world
        .review(number, ReviewVerdict::RequestsChanges, "Please not", None)
        .await;
    let reviews = talk.reviews(number).await.unwrap();
    let told: Vec<_> = reviews
        .iter()
        .map(|review| (review.verdict, review.body.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (ReviewVerdict::Comments, "A look"),
            (ReviewVerdict::RequestsChanges, "Please not"),
        ]
    );
    for review in &reviews {
        assert_eq!(review.author.as_ref().unwrap().login, world.reviewer());
        assert_eq!(review.commit.as_ref(), Some(&head));
        assert!(review.at >= thread.created_at);
    }
    let [remark] = reviews[0].remarks.as_slice() else {
        panic!("{reviews:?}");
    };
    assert_eq!(
        (remark.path.as_str(), remark.line, remark.body.as_str()),
        ("README.md", Some(1), "Why this?")
    );
    assert!(reviews[1].remarks.is_empty());
    // Remarks on lines are no comments.
    assert!(talk.comments(number, None).await.unwrap().is_empty());
    world
        .review(number, ReviewVerdict::Approves, "Good", None)
        .await;
    let last = talk.reviews(number).await.unwrap().pop().unwrap();
    assert_eq!(last.verdict, ReviewVerdict::Approves);

    a_check_stands_once_per_name(world, &head).await;

    world.merge(number).await;
    let pull = talk.pull(number).await.unwrap();
    assert_eq!((pull.stands, pull.head), (Stands::Merged, head));
    assert!(!talk.thread(number).await.unwrap().open);
    let entries = talk.timeline(number).await.unwrap();
    // GitHub tells of both, in this order.
    let end: Vec<&Did> = entries.iter().map(|entry| &entry.what).collect();
    let merged = matches!(end[..], [.., Did::Merged] | [.., Did::Merged, Did::Closed]);
    assert!(merged, "{entries:?}");
    let (number, _) = world.open_pull("second").await;
    world.close(number).await;
    assert_eq!(talk.pull(number).await.unwrap().stands, Stands::Closed);
}

async fn a_check_stands_once_per_name(world: &dyn People, head: &CommitId) {
    let talk = world.conversation();
    let check = |name: &str, state, title: &str| CheckReport {
        name: name.to_owned(),
        sha: head.clone(),
        state,
        title: title.to_owned(),
        marks: Vec::new(),
    };
    let page = Some("https://example.invalid/tasks/1");
    for (state, title) in [
        (CheckState::Pending, "runs"),
        (CheckState::Success, "2 of 2 pass"),
        (CheckState::Success, "2 of 2 pass"),
    ] {
        let verify = check("prentice / verify", state, title);
        talk.set_check(&verify, page).await.unwrap();
    }
    let scope = check("prentice / scope", CheckState::Neutral, "nothing to say");
    talk.set_check(&scope, None).await.unwrap();
    let mut there = world.checks(head).await;
    there.sort();
    let names: Vec<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["prentice / scope", "prentice / verify"]);
    assert!(there[1].1.contains("2 of 2 pass"), "{there:?}");
    let unknown = CheckReport {
        sha: "1".repeat(40).parse().unwrap(),
        ..scope
    };
    let refused = talk.set_check(&unknown, None).await;
    assert!(matches!(refused, Err(Error::Gone { .. })), "{refused:?}");
}

async fn what_changed_is_found(world: &dyn People) {
    let talk = world.conversation();
    let quiet = world.open_issue("Quiet", "").await;
    world.tick().await;
    let (pull, _) = world.open_pull("third").await;
    let issue = world.open_issue("Loud", "").await;
    let since = talk.thread(pull).await.unwrap().created_at;
    let found = |all: Vec<prentice::forge::Changed>| -> Vec<(i64, bool)> {
        assert!(all.is_sorted());
        let numbers: BTreeSet<_> = all.iter().map(|one| one.number).collect();
        assert_eq!(numbers.len(), all.len(), "each once");
        let mut all: Vec<_> = all.iter().map(|one| (one.number, one.is_pull)).collect();
        all.sort_unstable();
        all
    };
    let all = found(talk.changed(since).await.unwrap());
    assert_eq!(all, [(pull, true), (issue, false)]);

    // Whatever a person does to it moves it, and closed ones are told too.
    world.close(issue).await;
    let mut number = issue;
    for act in [
        "label", "unlabel", "comment", "assign", "rename", "review", "reopen",
    ] {
        world.tick().await;
        let before = talk.thread(number).await.unwrap().updated_at;
        match act {
            "label" => world.label(number, "agent").await,
            "unlabel" => world.unlabel(number, "agent").await,
            "comment" => drop(world.comment(number, "x").await),
            "assign" => world.assign(number, Some(&world.bot())).await,
            "rename" => world.rename(number, "Louder").await,
            "review" => {
                number = pull;
                world
                    .review(pull, ReviewVerdict::RequestsChanges, "no", None)
                    .await;
            }
            _ => {
                number = issue;
                world.reopen(issue).await;
            }
        }
        let now = talk.thread(number).await.unwrap().updated_at;
        assert!(now > before, "{act} does not move it");
        let all = found(talk.changed(now).await.unwrap());
        assert_eq!(all, [(number, number == pull)], "{act}");
    }
    // From far enough back everything is found, from the future nothing.
    let all = found(talk.changed(Time(0)).await.unwrap());
    assert!(all.contains(&(quiet, false)));
    let now = talk.thread(issue).await.unwrap().updated_at;
    let later = talk.changed(now.plus_secs(60)).await.unwrap();
    assert!(later.is_empty(), "{later:?}");
}

async fn what_is_not_there_is_gone(world: &dyn People) {
    let talk = world.conversation();
    let number = world.open_issue("Short", "").await;
    world.delete_issue(number).await;
    let unknown = CommentId(987_654_321);
    assert!(matches!(talk.thread(number).await, Err(Error::Gone { .. })));
    assert!(matches!(talk.thread(9_999).await, Err(Error::Gone { .. })));
    assert!(matches!(
        talk.comment(unknown).await,
        Err(Error::Gone { .. })
    ));
    for gone in [number, 9_999] {
        let entries = talk.timeline(gone).await;
        assert!(matches!(entries, Err(Error::Gone { .. })), "{entries:?}");
        let comments = talk.comments(gone, None).await;
        assert!(matches!(comments, Err(Error::Gone { .. })), "{comments:?}");
        let reviews = talk.reviews(gone).await;
        assert!(matches!(reviews, Err(Error::Gone { .. })), "{reviews:?}");
    }
    let number = world.open_issue("No pull request", "").await;
    assert!(matches!(talk.pull(number).await, Err(Error::Gone { .. })));
    let refused = talk.ensure_note(9_999, "c-1", None, "x").await;
    assert!(matches!(refused, Err(Error::Gone { .. })), "{refused:?}");
    let refused = talk.react(unknown, Some(Reaction::Seen)).await;
    assert!(matches!(refused, Err(Error::Gone { .. })), "{refused:?}");
}

async fn rights_are_never_more_than_they_are(world: &dyn People) {
    let talk = world.conversation();
    let right = |login: String| async move { talk.right(&login).await.unwrap() };
    assert!(right(world.owner()).await >= Some(Right::Write));
    let writers = talk.writers().await.unwrap().unwrap();
    assert!(
        writers.iter().any(|one| one.login == world.owner()),
        "{writers:?}"
    );
    // What is no account's name may do nothing, whatever path it would make.
    for login in [
        "nobody-is-called-this",
        "",
        "..",
        ".",
        "a/b",
        "a?b=c",
        "a#b",
    ] {
        let right = right(login.to_owned()).await;
        assert!(right <= Some(Right::None), "{login:?}: {right:?}");
    }
}

async fn a_renamed_repository_is_followed(world: &dyn People) {
    let talk = world.conversation();
    let before = talk.repository().await.unwrap();
    let number = world.open_issue("Moved", "").await;
    let name = world.rename_repository().await;
    assert_ne!(before.name, name);
    // Read under the old name, written under it, and told under the new one.
    let id = talk.ensure_note(number, "c-1", None, "here").await.unwrap();
    assert_eq!(world.comments(number).await.len(), 1);
    assert_eq!(talk.thread(number).await.unwrap().title, "Moved");
    assert_eq!(talk.comments(number, None).await.unwrap()[0].id, id);
    let after = talk.repository().await.unwrap();
    assert_eq!((after.name, after.id), (name, before.id));
    assert_eq!(after.default_branch, "main");
    assert!(after.ours >= Some(Right::Write));
}
