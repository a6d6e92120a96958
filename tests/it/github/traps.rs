//! One test for each thing that GitHub does otherwise than one would think.

use std::sync::Arc;

use prentice::domain::ident::{CommitId, TaskId, Time};
use prentice::domain::policy::{ActorKind, Right};
use prentice::domain::report::{CheckReport, CheckState, Mark};
use prentice::forge::{
    Checks, CommentId, Conversation, Did, Error, Forge, Leave, Place, Proof, PullRequest, Reaction,
    ReviewVerdict, Service, Stands, Status, marker, note_marker,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::server::Fake;
use super::world::{APP_BOT, Kind, REPO, TOKEN_BOT, said};

pub(super) const PLACE: Place = Place {
    task: TaskId(7),
    issue: 7,
    pull: None,
};
pub(super) const BRANCH: &str = "agent/7-empty-input";

pub(super) struct Site {
    pub(super) fake: Fake,
    pub(super) service: Arc<dyn Service>,
    pub(super) forge: Arc<dyn Forge>,
    pub(super) talk: Arc<dyn Conversation>,
}

impl Site {
    pub(super) fn new(fake: Fake, app: bool) -> Self {
        let service = fake.service(app);
        Self {
            forge: service.forge(&fake.repository(), fake.refs()),
            talk: service.conversation(&fake.repository()),
            service,
            fake,
        }
    }

    /// The same world after a start: nothing is remembered.
    pub(super) fn restarted(self, app: bool) -> Self {
        Self::new(self.fake, app)
    }

    async fn app() -> Option<Self> {
        Some(Self::new(Fake::public().await?, true))
    }

    async fn token() -> Option<Self> {
        Some(Self::new(Fake::public().await?, false))
    }

    /// Both kinds of both kinds of host.
    async fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for app in [true, false] {
            all.extend(Fake::public().await.map(|fake| Self::new(fake, app)));
            all.extend(Fake::enterprise().await.map(|fake| Self::new(fake, app)));
        }
        all
    }

    async fn opened(&self, draft: bool) -> i64 {
        self.fake.world().push(BRANCH, &commit('1'));
        let pull = self.forge.ensure_pull(PLACE, &pull("t", "b", draft)).await;
        pull.unwrap().number
    }
}

pub(super) fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

pub(super) fn pull<'a>(title: &'a str, body: &'a str, draft: bool) -> PullRequest<'a> {
    PullRequest {
        branch: BRANCH,
        base: Some("main"),
        title,
        body,
        draft,
    }
}

pub(super) fn check(state: CheckState, title: &str) -> CheckReport {
    CheckReport {
        name: "prentice / verify".to_owned(),
        sha: commit('1'),
        state,
        title: title.to_owned(),
        marks: Vec::new(),
    }
}

pub(super) fn status(body: &str) -> Status<'_> {
    Status {
        word: "running",
        ended: false,
        body,
    }
}

/// The moment of the world's clock, in our unit.
fn at(seconds: i64) -> Time {
    Time(seconds * 1000)
}

// ---- who we are, and where

#[tokio::test]
async fn as_an_app_we_are_its_bot_and_with_a_token_the_account() {
    for site in Site::all().await {
        let me = site.service.whoami().await.unwrap();
        let app = site.service.capabilities().checks == Checks::CheckRuns;
        assert_eq!(me.login, if app { APP_BOT } else { TOKEN_BOT });
        assert_eq!(
            me.kind,
            if app {
                ActorKind::Bot
            } else {
                ActorKind::Person
            }
        );
        assert_eq!(me.id, site.fake.world().users[&me.login].id);
        assert_eq!(site.forge.whoami().await.unwrap(), me);
        assert_eq!(site.service.capabilities().redelivery, app);
    }
}

#[tokio::test]
async fn one_installation_token_serves_many_requests_and_opens_one_repository() {
    let Some(site) = Site::app().await else {
        return;
    };
    for _ in 0..3 {
        site.forge.issue(7).await.unwrap();
        site.talk.thread(7).await.unwrap();
    }
    let world = site.fake.world();
    assert_eq!(world.count("POST", "/access_tokens"), 1);
    let opens: Vec<_> = world
        .grants
        .values()
        .map(|grant| grant.only.clone())
        .collect();
    assert_eq!(opens, [Some(vec![REPO])]);
}

#[tokio::test]
async fn an_installation_token_that_expired_is_renewed_within_the_call() {
    for enterprise in [false, true] {
        let fake = match enterprise {
            false => Fake::public().await,
            true => Fake::enterprise().await,
        };
        let Some(fake) = fake else { return };
        let site = Site::new(fake, true);
        site.forge.issue(7).await.unwrap();
        site.fake.world().grants.clear();
        site.forge
            .ensure_comment(PLACE, "tell-1", "ping")
            .await
            .unwrap();
        assert_eq!(site.fake.world().comments.len(), 1);
    }
}

#[tokio::test]
async fn git_gets_a_token_for_the_files_of_one_repository_and_nothing_else() {
    let Some(site) = Site::app().await else {
        return;
    };
    let shown = site
        .service
        .credential(&site.fake.repository())
        .await
        .unwrap();
    assert_eq!(shown.user, "x-access-token");
    {
        let world = site.fake.world();
        // Long, with dots: nothing is assumed about its form.
        let grant = &world.grants[shown.secret.expose_secret()];
        assert_eq!(grant.only, Some(vec![REPO]));
        let permissions: Vec<_> = grant
            .permissions
            .iter()
            .map(|(name, level)| format!("{name}: {level}"))
            .collect();
        assert_eq!(permissions, ["contents: write", "metadata: read"]);
    }
    assert!(!format!("{shown:?}").contains("ghs_"));

    // An App that may only read still fetches.
    site.fake
        .world()
        .permissions
        .insert("contents".to_owned(), "read".to_owned());
    let fresh = site.fake.app();
    fresh.credential(&site.fake.repository()).await.unwrap();
}

#[tokio::test]
async fn repositories_are_those_that_are_reached_and_allowed() {
    for site in Site::all().await {
        let names = async |allowed: &[&str]| -> Vec<String> {
            let allowed: Vec<String> = allowed.iter().map(|one| (*one).to_owned()).collect();
            let found = site.service.repositories(&allowed).await.unwrap();
            found.into_iter().map(|one| one.name).collect()
        };
        assert_eq!(names(&["Acme/*"]).await, ["acme/widget"]);
        assert_eq!(names(&["acme/Widget", "acme/*"]).await, ["acme/widget"]);
        assert!(names(&["acme/other", "dana/*"]).await.is_empty());
        let one = site.service.repository("acme/widget").await.unwrap();
        assert_eq!(
            (one.id, one.ours, one.personal),
            (REPO, Some(Right::Write), false)
        );
        assert_eq!(one.clone_url, "https://forge.test/acme/widget.git");
        let none = site.service.repository("acme/other").await;
        assert!(matches!(none, Err(Error::Gone { .. })), "{none:?}");
        let none = site.service.repository("widget").await;
        assert!(matches!(none, Err(Error::Invalid { .. })), "{none:?}");
    }
}

// A redirect answers a GET with 301; a client that follows one on a POST turns it into a GET and has written nothing.
#[tokio::test]
async fn a_renamed_repository_is_found_by_its_id_and_no_redirect_is_followed() {
    for site in Site::all().await {
        site.forge.issue(7).await.unwrap();
        site.fake.world().rename_repository("acme/gadget");
        let id = site
            .forge
            .ensure_status(PLACE, None, &status("one"))
            .await
            .unwrap();
        assert_eq!(site.fake.world().comments.last().unwrap().id, id.0);
        assert_eq!(site.talk.repository().await.unwrap().name, "acme/gadget");
        // The filter of pull requests wants the owner's name of now.
        site.fake.world().rename_repository("newco/gadget");
        let owner = site.fake.world().users["acme"].clone();
        site.fake.world().users.insert("newco".to_owned(), owner);
        site.opened(true).await;
        assert_eq!(
            site.service.repository("acme/widget").await.unwrap().name,
            "newco/gadget"
        );
        let world = site.fake.world();
        assert!(
            !world
                .requests
                .iter()
                .any(|one| one.starts_with("POST /repos/"))
        );
    }
}

#[tokio::test]
async fn an_app_that_was_removed_or_suspended_says_where_to_put_it_back() {
    let Some(site) = Site::app().await else {
        return;
    };
    site.service.whoami().await.unwrap();
    site.fake.world().suspended = true;
    site.fake.world().grants.clear();
    let refused = site.forge.issue(7).await.unwrap_err();
    insta::assert_snapshot!(hostless(&refused, &site), @"not permitted: repository `acme/widget` (the App's installation is suspended); grant it in HOST/organizations/acme/settings/apps/prentice-test/installations");
}

#[tokio::test]
async fn a_credential_that_can_be_none_is_refused_before_anything_is_sent() {
    let key = SecretString::from("-----BEGIN NOTHING-----".to_owned());
    let refused = prentice::forge::github_app("hub", None, 1, &key)
        .err()
        .unwrap();
    insta::assert_snapshot!(refused, @"the forge does not accept the credential: the private key of `hub` is no RSA key in PEM form; renew it");
    for (base, token) in [
        (None, "with\nbreak"),
        (None, ""),
        (Some("http://forge.test/api/v3"), "x"),
        (Some("https://user:secret@forge.test"), "x"),
        (Some("forge.test"), "x"),
    ] {
        let token = SecretString::from(token.to_owned());
        let refused = prentice::forge::github_token("hub", base, &token)
            .err()
            .unwrap();
        assert!(
            matches!(refused, Error::Auth { .. } | Error::Invalid { .. }),
            "{base:?}: {refused}"
        );
    }
}

// ---- rights

#[tokio::test]
async fn rights_are_those_of_the_exact_role_at_this_moment() {
    for site in Site::all().await {
        {
            let mut world = site.fake.world();
            for (login, role, permits) in [
                ("maintainer", "maintain", "maintain"),
                ("reader", "read", "pull"),
                ("crew", "Release crew", "push"),
                ("sorter", "Sorting crew", "triage"),
            ] {
                world.person(login, "User", Some((role, permits)));
            }
            world.person("Copilot", "Bot", None);
            world.person("helper", "Bot", Some(("admin", "admin")));
        }
        for (login, expected) in [
            ("dana", Right::Admin),
            ("maintainer", Right::Maintain),
            (TOKEN_BOT, Right::Write),
            ("lee", Right::Triage),
            ("reader", Right::Read),
            ("crew", Right::Write),
            ("sorter", Right::Triage),
            // The repository is public: everyone may read it, and `author_association` says OWNER of everyone here.
            ("mallory", Right::Read),
            ("ci[bot]", Right::None),
            ("helper", Right::None),
            ("Copilot", Right::None),
            ("acme", Right::None),
            ("nobody", Right::None),
            ("../../user", Right::None),
        ] {
            assert_eq!(
                site.talk.right(login).await.unwrap(),
                Some(expected),
                "{login}"
            );
            assert_eq!(
                site.forge.right(login).await.unwrap(),
                Some(expected),
                "{login}"
            );
        }
        site.fake.world().users.get_mut("dana").unwrap().role = None;
        assert_eq!(site.talk.right("dana").await.unwrap(), Some(Right::Read));
    }
}

#[tokio::test]
async fn a_right_that_cannot_be_seen_is_unknown_and_one_that_needs_a_permission_says_which() {
    let Some(site) = Site::token().await else {
        return;
    };
    let weak = said("Must have push access to view collaborator permission.");
    site.fake.world().fault(
        "GET",
        "/permission",
        Kind::Instead(403, Vec::new(), weak),
        1,
    );
    assert_eq!(site.talk.right("dana").await.unwrap(), None);
    let closed = said("Resource not accessible by personal access token");
    let header = vec![("x-accepted-github-permissions", "metadata=read".to_owned())];
    site.fake
        .world()
        .fault("GET", "/permission", Kind::Instead(403, header, closed), 1);
    let refused = site.talk.right("dana").await.unwrap_err();
    assert!(
        matches!(&refused, Error::NotPermitted { setting, .. } if setting.contains("`metadata: read`")),
        "{refused}"
    );
    // A repository out of reach is no person without a right.
    let gone = Kind::Instead(404, Vec::new(), said("Not Found"));
    site.fake.world().fault("GET", "", gone, 2);
    assert!(matches!(
        site.talk.right("dana").await,
        Err(Error::Gone { .. })
    ));
}

// ---- comments

#[tokio::test]
async fn only_comments_of_our_own_account_are_taken_for_ours() {
    for site in Site::all().await {
        let copied = format!("{}\nhello", marker(PLACE, None));
        let theirs = site.fake.world().comment(7, "mallory", &copied);
        let elsewhere = {
            let me = site.service.whoami().await.unwrap().login;
            site.fake.world().comment(8, &me, &copied)
        };
        for known in [theirs, elsewhere, 1] {
            let made = site
                .forge
                .ensure_status(PLACE, Some(CommentId(known)), &status("one"))
                .await
                .unwrap();
            assert!(![theirs, elsewhere, 1].contains(&made.0));
        }
        let world = site.fake.world();
        assert_eq!(world.comments.len(), 3);
        assert_eq!(world.comments[0].body, copied);
    }
}

#[tokio::test]
async fn a_status_that_a_person_edited_is_put_right_and_one_that_is_right_is_left_alone() {
    let Some(site) = Site::app().await else {
        return;
    };
    let id = site
        .forge
        .ensure_status(PLACE, None, &status("one\n\ntwo"))
        .await
        .unwrap();
    site.fake.world().edit(id.0, "hacked");
    site.forge
        .ensure_status(PLACE, Some(id), &status("one\n\ntwo"))
        .await
        .unwrap();
    let right = format!("{}\none\n\ntwo", marker(PLACE, None));
    assert_eq!(site.fake.world().comments[0].body, right);
    // GitHub's web editor changes line ends.
    site.fake.world().edit(id.0, &right.replace('\n', "\r\n"));
    let before = site.fake.world().count("PATCH", "/issues/comments");
    site.forge
        .ensure_status(PLACE, Some(id), &status("one\n\ntwo"))
        .await
        .unwrap();
    assert_eq!(site.fake.world().count("PATCH", "/issues/comments"), before);
}

#[tokio::test]
async fn an_ended_task_whose_status_was_deleted_is_not_shown_again() {
    let Some(site) = Site::app().await else {
        return;
    };
    let ended = Status {
        word: "rejected",
        ended: true,
        body: "gone",
    };
    // One that was never shown is.
    let id = site.forge.ensure_status(PLACE, None, &ended).await.unwrap();
    site.fake.world().comments.clear();
    assert_eq!(
        site.forge
            .ensure_status(PLACE, Some(id), &ended)
            .await
            .unwrap(),
        id
    );
    assert!(site.fake.world().comments.is_empty());
}

#[tokio::test]
async fn of_a_rejected_task_stays_one_comment_that_says_so() {
    let Some(site) = Site::app().await else {
        return;
    };
    let ended = Status {
        word: "rejected",
        ended: true,
        body: "Rejected by dana.",
    };
    let known = site.forge.ensure_status(PLACE, None, &status("runs")).await;
    let known = Some(known.unwrap());
    let told = site.forge.ensure_comment(PLACE, "entry-1", "your turn");
    told.await.unwrap();
    site.fake.world().comment(7, "dana", "no");
    site.forge.clean_up(PLACE, Leave::Nothing).await.unwrap();
    site.forge
        .ensure_status(PLACE, known, &ended)
        .await
        .unwrap();
    let world = site.fake.world();
    let left: Vec<&str> = world.comments.iter().map(|one| one.body.as_str()).collect();
    let right = format!("{}\nRejected by dana.", marker(PLACE, None));
    assert_eq!(left, [right.as_str(), "no"]);
}

#[tokio::test]
async fn a_text_of_any_length_fits_with_its_marker() {
    let Some(site) = Site::app().await else {
        return;
    };
    let long = format!(
        "<details>\n\n```\n{}```\n</details>\n",
        "é 🦀\n".repeat(30_000)
    );
    site.forge
        .ensure_status(PLACE, None, &status(&long))
        .await
        .unwrap();
    site.forge
        .ensure_comment(PLACE, "tell-1", &long)
        .await
        .unwrap();
    site.fake.world().push(BRANCH, &commit('1'));
    site.forge
        .ensure_pull(PLACE, &pull(&"🦀".repeat(1000), &long, true))
        .await
        .unwrap();
    let world = site.fake.world();
    for one in &world.comments {
        assert!(one.body.chars().count() <= 60_000);
        assert!(one.body.starts_with("<!-- prentice v1 task=T-7"));
    }
    assert_eq!(world.issues[&9].title.chars().count(), 256);
}

#[tokio::test]
async fn what_is_locked_or_archived_says_so() {
    let Some(site) = Site::app().await else {
        return;
    };
    site.service.whoami().await.unwrap();
    site.fake.world().thread(7).locked = true;
    let refused = site
        .forge
        .ensure_comment(PLACE, "tell-1", "ping")
        .await
        .unwrap_err();
    insta::assert_snapshot!(hostless(&refused, &site), @"not permitted: the comment on #7 (Unable to create comment because issue is locked.); grant it in `issues: write` at HOST/organizations/acme/settings/apps/prentice-test/permissions, then accept it where the App is installed");
    site.fake.world().archived = true;
    let refused = site.forge.ensure_label(PLACE, Some("agent:running")).await;
    assert!(
        matches!(refused, Err(Error::NotPermitted { .. })),
        "{refused:?}"
    );
}

/// The error without the port of this test.
fn hostless(error: &Error, site: &Site) -> String {
    error.to_string().replace(&site.fake.web(), "HOST")
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_with_its_page() {
    let Some(site) = Site::app().await else {
        return;
    };
    site.service.whoami().await.unwrap();
    site.fake
        .world()
        .permissions
        .insert("issues".to_owned(), "read".to_owned());
    let refused = site
        .forge
        .ensure_comment(PLACE, "tell-1", "ping")
        .await
        .unwrap_err();
    insta::assert_snapshot!(hostless(&refused, &site), @"not permitted: the comment on #7 (Resource not accessible by integration); grant it in `issues: write` at HOST/organizations/acme/settings/apps/prentice-test/permissions, then accept it where the App is installed");
    let Some(site) = Site::token().await else {
        return;
    };
    site.fake.world().users.get_mut(TOKEN_BOT).unwrap().role = None;
    let refused = site
        .forge
        .ensure_label(PLACE, Some("agent:running"))
        .await
        .unwrap_err();
    insta::assert_snapshot!(hostless(&refused, &site), @"not permitted: the label `agent:running` on #7 (Resource not accessible by personal access token); grant it in `issues: write` at HOST/settings/personal-access-tokens (or the scope `repo` at HOST/settings/tokens), and the account's role in the repository");
}

// ---- labels and the trigger

#[tokio::test]
async fn an_issue_has_one_label_of_ours_and_keeps_those_of_people() {
    for site in Site::all().await {
        for label in ["agent", "a/b: c?d#e%20", "agentive"] {
            site.fake.world().label(7, "dana", label);
        }
        for label in [
            Some("agent:queued"),
            Some("agent:needs-info"),
            Some("agent:needs-info"),
            None,
        ] {
            site.forge.ensure_label(PLACE, label).await.unwrap();
            let mut expected = vec!["agent", "a/b: c?d#e%20", "agentive"];
            expected.extend(label);
            assert_eq!(site.fake.world().thread(7).labels, expected);
        }
        assert_eq!(site.fake.world().count("POST", "/labels"), 2);
    }
}

#[tokio::test]
async fn the_trigger_is_taken_back_as_label_and_as_assignment() {
    for site in Site::all().await {
        let me = site.service.whoami().await.unwrap().login;
        site.fake.world().label(7, "dana", "a/b: c?d#e%20");
        site.fake.world().assign(7, "dana", "dana");
        site.fake.world().assign(7, "dana", &me);
        for _ in 0..2 {
            site.forge
                .drop_trigger(PLACE, "a/b: c?d#e%20")
                .await
                .unwrap();
        }
        let mut world = site.fake.world();
        assert!(world.thread(7).labels.is_empty());
        assert_eq!(world.thread(7).assignees, ["dana"]);
    }
}

#[tokio::test]
async fn cleaning_up_hides_notifications_once_and_leaves_the_status() {
    for site in Site::all().await {
        site.forge
            .ensure_status(PLACE, None, &status("one"))
            .await
            .unwrap();
        site.forge
            .ensure_comment(PLACE, "tell-1", "ping")
            .await
            .unwrap();
        site.forge
            .ensure_comment(PLACE, "tell-2", "pong")
            .await
            .unwrap();
        let copied = format!("{}\nhello", marker(PLACE, Some("tell-3")));
        site.fake.world().comment(7, "mallory", &copied);
        site.forge.clean_up(PLACE, Leave::Record).await.unwrap();
        let hidden: Vec<bool> = site
            .fake
            .world()
            .comments
            .iter()
            .map(|one| one.hidden)
            .collect();
        assert_eq!(hidden, [false, true, true, false]);
        let before = site.fake.world().count("POST", "graphql");
        site.forge.clean_up(PLACE, Leave::Record).await.unwrap();
        // Only the question whether they are hidden.
        assert_eq!(site.fake.world().count("POST", "graphql"), before + 1);
    }
}

// ---- pull requests

#[tokio::test]
async fn where_drafts_cost_money_the_pull_request_is_opened_as_none() {
    for site in Site::all().await {
        site.fake.world().drafts = false;
        let number = site.opened(true).await;
        assert_eq!(site.fake.world().count("POST", "/pulls"), 2);
        assert!(!site.talk.pull(number).await.unwrap().draft);
        assert_eq!(
            site.fake
                .world()
                .issues
                .values()
                .filter(|one| one.pull.is_some())
                .count(),
            1
        );
        site.forge.mark_ready(PLACE).await.unwrap();
        assert_eq!(site.fake.world().count("POST", "graphql"), 0);
    }
}

#[tokio::test]
async fn a_draft_is_made_ready_once() {
    for site in Site::all().await {
        let number = site.opened(true).await;
        assert!(site.talk.pull(number).await.unwrap().draft);
        for _ in 0..2 {
            site.forge.mark_ready(PLACE).await.unwrap();
        }
        assert!(!site.talk.pull(number).await.unwrap().draft);
        assert_eq!(site.fake.world().count("POST", "graphql"), 1);
        // A person's "ready" stands.
        site.forge
            .ensure_pull(PLACE, &pull("t", "b", true))
            .await
            .unwrap();
        assert!(!site.talk.pull(number).await.unwrap().draft);
    }
}

#[tokio::test]
async fn reviewers_are_asked_one_by_one_and_a_bad_one_is_told() {
    for site in Site::all().await {
        let number = site.opened(true).await;
        for _ in 0..2 {
            site.forge.request_review(PLACE, "dana").await.unwrap();
        }
        let me = site.service.whoami().await.unwrap().login;
        for bad in ["mallory", "nobody", me.as_str()] {
            let refused = site.forge.request_review(PLACE, bad).await;
            assert!(
                matches!(refused, Err(Error::Invalid { .. })),
                "{bad}: {refused:?}"
            );
        }
        site.forge.request_review(PLACE, "Lee").await.unwrap_err();
        site.forge.request_review(PLACE, "lee").await.unwrap();
        let asked = |site: &Site| {
            site.fake
                .world()
                .thread(number)
                .pull
                .as_ref()
                .unwrap()
                .asked
                .clone()
        };
        assert_eq!(asked(&site), ["dana", "lee"]);
        // Who has reviewed can be asked again.
        site.fake
            .world()
            .review(number, "dana", "CHANGES_REQUESTED", "no", &[]);
        assert_eq!(asked(&site), ["lee"]);
        site.forge.request_review(PLACE, "dana").await.unwrap();
        assert_eq!(asked(&site), ["lee", "dana"]);
    }
}

#[tokio::test]
async fn the_pull_request_of_somebody_else_on_our_branch_is_not_taken() {
    for site in Site::all().await {
        site.fake.world().push(BRANCH, &commit('1'));
        let body = format!("{}\nhello", marker(PLACE, None));
        site.fake
            .world()
            .pull("mallory", (BRANCH, REPO, "main"), ("t", &body), false);
        // One of a fork with the same branch name stands in nobody's way.
        site.fake
            .world()
            .pull("mallory", (BRANCH, 1, "main"), ("t", &body), false);
        let refused = site.forge.ensure_pull(PLACE, &pull("t", "b", true)).await;
        assert!(
            matches!(refused, Err(Error::Conflict { .. })),
            "{refused:?}"
        );
        assert_eq!(site.forge.pull_state(PLACE).await.unwrap(), None);
    }
}

#[tokio::test]
async fn our_own_pull_request_is_ours_though_a_person_took_its_marker_away() {
    for site in Site::all().await {
        let number = site.opened(true).await;
        site.fake.world().rewrite(number, "all mine");
        // Also after a start, when nothing is remembered.
        let app = site.service.capabilities().checks == Checks::CheckRuns;
        let service = site.fake.service(app);
        let forge = service.forge(&site.fake.repository(), site.fake.refs());
        let again = forge
            .ensure_pull(PLACE, &pull("t", "b", true))
            .await
            .unwrap();
        assert_eq!(again.number, number);
        assert!(
            site.fake
                .world()
                .thread(number)
                .body
                .starts_with(&marker(PLACE, None))
        );
    }
}

/// How many pull requests there are.
fn pulls(site: &Site) -> usize {
    let world = site.fake.world();
    world
        .issues
        .values()
        .filter(|one| one.pull.is_some())
        .count()
}

#[tokio::test]
async fn one_whose_number_is_known_is_the_task_s_whatever_its_text_says_and_no_second_is_opened() {
    for site in Site::all().await {
        let app = site.service.capabilities().checks == Checks::CheckRuns;
        let number = site.opened(true).await;
        let known = Place {
            pull: Some(number),
            ..PLACE
        };
        site.fake.world().rewrite(number, "all mine");
        let site = site.restarted(app);
        site.fake.world().close(number, "dana");
        let state = site.forge.pull_state(known).await.unwrap().unwrap();
        assert_eq!(
            (state.number, state.stands, state.by.unwrap().login.as_str()),
            (number, Stands::Closed, "dana")
        );
        let refused = site.forge.ensure_pull(known, &pull("t", "b", true)).await;
        assert!(matches!(refused, Err(Error::Gone { .. })), "{refused:?}");
        // Not even where GitHub does not answer for a moment: an App that lost its way is answered so.
        let elsewhere = vec![("location", format!("{}/elsewhere", site.fake.base()))];
        for fault in [
            Kind::Instead(404, Vec::new(), said("Not Found")),
            Kind::Instead(301, elsewhere.clone(), said("Moved")),
            Kind::Instead(307, elsewhere, said("Moved")),
        ] {
            site.fake.world().fault_call("GET pulls/#", fault, 1);
            let refused = site.forge.ensure_pull(known, &pull("t", "b", true)).await;
            assert!(refused.is_err(), "{refused:?}");
            site.fake.world().faults.clear();
        }
        // It is by our account, so it is not taken from a number that is wrong.
        let other = Place {
            task: TaskId(8),
            ..known
        };
        let mark = marker(PLACE, None);
        site.fake.world().rewrite(number, &mark);
        assert_eq!(site.forge.pull_state(other).await.unwrap(), None);
        assert_eq!(pulls(&site), 1);
    }
}

#[tokio::test]
async fn one_that_was_just_opened_is_remembered_whatever_its_text_says_and_no_second_is_opened() {
    for site in Site::all().await {
        let number = site.opened(true).await;
        {
            let mut world = site.fake.world();
            world.rewrite(number, "all mine");
            world.close(number, "dana");
            let gone = Kind::Instead(404, Vec::new(), said("Not Found"));
            world.fault_call("GET pulls/#", gone, 1);
        }
        // The number is not stored yet.
        for _ in 0..2 {
            let refused = site.forge.ensure_pull(PLACE, &pull("t", "b", true)).await;
            assert!(refused.is_err(), "{refused:?}");
        }
        assert_eq!(pulls(&site), 1);
    }
}

#[tokio::test]
async fn the_pull_request_of_a_lost_answer_is_found_though_the_clock_of_the_forge_was_set_back() {
    for site in Site::all().await {
        let app = site.service.capabilities().checks == Checks::CheckRuns;
        let number = site.opened(true).await;
        {
            let mut world = site.fake.world();
            let born = world.thread(PLACE.issue).created;
            world.thread(number).created = born - 3600;
            world.close(number, "dana");
        }
        let site = site.restarted(app);
        let refused = site.forge.ensure_pull(PLACE, &pull("t", "b", true)).await;
        assert!(matches!(refused, Err(Error::Gone { .. })), "{refused:?}");
        assert_eq!(pulls(&site), 1);
    }
}

#[tokio::test]
async fn who_merged_or_closed_is_told() {
    for site in Site::all().await {
        let number = site.opened(true).await;
        site.fake.world().merge(number, "lee");
        let state = site.forge.pull_state(PLACE).await.unwrap().unwrap();
        assert_eq!(
            (state.stands, state.by.unwrap().login.as_str()),
            (Stands::Merged, "lee")
        );
    }
    for site in Site::all().await {
        let number = site.opened(true).await;
        site.fake.world().close(number, "dana");
        let state = site.forge.pull_state(PLACE).await.unwrap().unwrap();
        assert_eq!(
            (state.stands, state.by.unwrap().login.as_str()),
            (Stands::Closed, "dana")
        );
    }
}

#[tokio::test]
async fn a_pull_request_is_found_among_many_and_not_looked_for_before_its_issue() {
    let Some(site) = Site::token().await else {
        return;
    };
    site.fake.world().page_max = 2;
    for n in 0..7 {
        let body = format!(
            "{}\nold",
            marker(
                Place {
                    task: TaskId(100 + n),
                    issue: PLACE.issue,
                    pull: None,
                },
                None
            )
        );
        let mut world = site.fake.world();
        let old = world.pull(TOKEN_BOT, ("main", REPO, "main"), ("old", &body), false);
        // Clocks of forges are not trusted to an hour.
        world.thread(old).created -= 2 * 24 * 60 * 60;
    }
    let number = {
        let mut world = site.fake.world();
        let number = world.issues.keys().last().unwrap() + 1;
        world.issue(number, "dana", "new", "new");
        number
    };
    let place = Place {
        task: TaskId(9),
        issue: number,
        pull: None,
    };
    let before = site.fake.world().requests.len();
    assert_eq!(site.forge.pull_state(place).await.unwrap(), None);
    // The issue, our account, and one page.
    assert!(
        site.fake.world().requests.len() - before <= 4,
        "{:?}",
        site.fake.world().requests
    );
    site.fake.world().push(BRANCH, &commit('1'));
    let made = site
        .forge
        .ensure_pull(place, &pull("t", "b", false))
        .await
        .unwrap();
    for n in 0..5 {
        let body = format!(
            "{}\nnew",
            marker(
                Place {
                    task: TaskId(200 + n),
                    issue: PLACE.issue,
                    pull: None,
                },
                None
            )
        );
        site.fake
            .world()
            .pull(TOKEN_BOT, ("main", REPO, "main"), ("new", &body), false);
    }
    let forge = site
        .fake
        .token()
        .forge(&site.fake.repository(), site.fake.refs());
    assert_eq!(
        forge.pull_state(place).await.unwrap().unwrap().number,
        made.number
    );
}

// ---- checks

#[tokio::test]
async fn each_state_has_its_conclusion_or_its_status() {
    let states = [
        (CheckState::Pending, "in_progress", Value::Null, "pending"),
        (
            CheckState::Success,
            "completed",
            json!("success"),
            "success",
        ),
        (
            CheckState::Failure,
            "completed",
            json!("failure"),
            "failure",
        ),
        (
            CheckState::ActionRequired,
            "completed",
            json!("action_required"),
            "pending",
        ),
        (
            CheckState::Neutral,
            "completed",
            json!("neutral"),
            "success",
        ),
        (
            CheckState::TimedOut,
            "completed",
            json!("timed_out"),
            "failure",
        ),
    ];
    for site in Site::all().await {
        site.fake.world().push(BRANCH, &commit('1'));
        let app = site.service.capabilities().checks == Checks::CheckRuns;
        for (state, status, conclusion, word) in &states {
            for _ in 0..2 {
                let report = check(*state, "a line");
                site.talk
                    .set_check(&report, Some("https://bot.test/tasks/7"))
                    .await
                    .unwrap();
            }
            let world = site.fake.world();
            if app {
                let last = &world.runs.last().unwrap().fields;
                assert_eq!(
                    (&last["status"], &last["conclusion"]),
                    (&json!(status), conclusion)
                );
                assert_eq!(last["details_url"], "https://bot.test/tasks/7");
            } else {
                let last = &world.statuses.last().unwrap().fields;
                assert_eq!(last["state"], *word);
                assert_eq!(last["target_url"], "https://bot.test/tasks/7");
            }
        }
        let world = site.fake.world();
        if app {
            assert_eq!(world.runs.len(), 1);
        } else {
            // A status is never changed, only followed by another; the same twice is one.
            assert_eq!(world.statuses.len(), states.len());
        }
    }
}

#[tokio::test]
async fn a_check_that_is_done_is_not_taken_back_but_followed_by_a_new_one() {
    let Some(site) = Site::app().await else {
        return;
    };
    site.fake.world().push(BRANCH, &commit('1'));
    for state in [
        CheckState::Success,
        CheckState::Pending,
        CheckState::Pending,
        CheckState::Failure,
    ] {
        site.forge
            .set_check(PLACE, &check(state, "a line"))
            .await
            .unwrap();
    }
    let world = site.fake.world();
    let ends: Vec<Value> = world
        .runs
        .iter()
        .map(|run| run.fields["conclusion"].clone())
        .collect();
    assert_eq!(ends, ["success", "failure"]);
}

#[tokio::test]
async fn a_long_line_is_cut_for_a_status_and_an_unknown_commit_is_gone() {
    for site in Site::all().await {
        site.fake.world().push(BRANCH, &commit('1'));
        let long = "é".repeat(400);
        site.forge
            .set_check(PLACE, &check(CheckState::Success, &long))
            .await
            .unwrap();
        site.forge
            .set_check(PLACE, &check(CheckState::Success, &long))
            .await
            .unwrap();
        let unknown = CheckReport {
            sha: commit('9'),
            ..check(CheckState::Success, "a line")
        };
        let gone = site.forge.set_check(PLACE, &unknown).await;
        assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
        let world = site.fake.world();
        assert_eq!(world.statuses.len() + world.runs.len(), 1);
    }
}

#[tokio::test]
async fn a_check_marks_the_lines_that_it_is_about_where_the_forge_can_show_them() {
    let mark = |line| Mark {
        path: ".github/prentice.toml".to_owned(),
        line,
        col: 3,
        message: "unknown key `x` ``` ![i](y)".to_owned(),
    };
    for site in Site::all().await {
        site.fake.world().push(BRANCH, &commit('1'));
        let app = site.service.capabilities().checks == Checks::CheckRuns;
        let report = CheckReport {
            name: "prentice / config".to_owned(),
            marks: (1..=60).map(mark).collect(),
            ..check(
                CheckState::Failure,
                "60 mistakes, the first at .github/prentice.toml:1:3",
            )
        };
        for _ in 0..2 {
            site.talk.set_check(&report, None).await.unwrap();
        }
        let world = site.fake.world();
        if !app {
            let [status] = world.statuses.as_slice() else {
                panic!("{} statuses", world.statuses.len());
            };
            assert_eq!(status.fields["state"], "failure");
            assert_eq!(status.fields["description"], report.title);
            continue;
        }
        let [run] = world.runs.as_slice() else {
            panic!("{} runs", world.runs.len());
        };
        assert_eq!(run.fields["conclusion"], "failure");
        let output = &run.fields["output"];
        assert_eq!(output["title"], report.title);
        // As many as one request may have; the rest is in the summary, where nothing of it is Markdown.
        let marks = output["annotations"].as_array().unwrap();
        assert_eq!(marks.len(), 50);
        assert_eq!(
            marks[1],
            json!({
                "path": ".github/prentice.toml", "start_line": 2, "end_line": 2, "start_column": 3, "end_column": 3,
                "annotation_level": "failure", "message": "unknown key `x` ``` ![i](y)",
            })
        );
        let summary = output["summary"].as_str().unwrap();
        assert!(
            summary
                .starts_with("````text\n.github/prentice.toml:1:3: unknown key `x` ``` ![i](y)\n"),
            "{summary}"
        );
        assert!(summary.contains("prentice.toml:60:3"), "{summary}");
    }
}

// ---- what people do

#[tokio::test]
async fn a_thread_is_read_as_it_is() {
    for site in Site::all().await {
        let number = site.opened(true).await;
        {
            let mut world = site.fake.world();
            world.label(7, "dana", "bug");
            world.assign(7, "dana", "lee");
            world.thread(7).locked = true;
            world.issue(20, "deleted-account", "t", "b");
        }
        let thread = site.talk.thread(7).await.unwrap();
        assert_eq!(thread.labels, ["bug"]);
        assert_eq!(thread.assignees, ["lee"]);
        assert!(thread.locked && thread.open && !thread.is_pull);
        assert_eq!(thread.author.unwrap().login, "mallory");
        assert_eq!(thread.body, "# Empty input\n");
        assert_eq!(thread.updated_at, at(site.fake.world().issues[&7].updated));
        assert!(site.talk.thread(number).await.unwrap().is_pull);
        assert_eq!(site.talk.thread(20).await.unwrap().author, None);
        assert!(matches!(
            site.talk.thread(99).await,
            Err(Error::Gone { .. })
        ));
        assert!(matches!(site.talk.pull(7).await, Err(Error::Gone { .. })));
    }
}

#[tokio::test]
async fn the_timeline_tells_who_did_what_with_an_id_of_its_own_page_by_page() {
    for site in Site::all().await {
        {
            let mut world = site.fake.world();
            world.page_max = 2;
            world.label(7, "lee", "agent");
            world.comment(7, "mallory", "hello");
            world.unlabel(7, "dana", "agent");
            world.assign(7, "dana", "lee");
            world.rename(7, "mallory", "other");
            world.close(7, "dana");
            world.thread(7).open = true;
            world.happened(7, "ci[bot]", "reopened", "");
            world.happened(7, "dana", "subscribed", "");
            world.happened(7, "lee", "head_ref_force_pushed", "");
        }
        let entries = site.talk.timeline(7).await.unwrap();
        let told: Vec<(&str, Did)> = entries
            .iter()
            .map(|one| (one.by.as_ref().unwrap().login.as_str(), one.what.clone()))
            .collect();
        assert_eq!(
            told,
            [
                ("lee", Did::Labelled("agent".to_owned())),
                ("dana", Did::Unlabelled("agent".to_owned())),
                ("dana", Did::Assigned("lee".to_owned())),
                ("mallory", Did::Renamed),
                ("dana", Did::Closed),
                ("ci[bot]", Did::Reopened),
                (
                    "lee",
                    Did::Pushed {
                        head: None,
                        over: true
                    }
                ),
            ]
        );
        assert_eq!(entries[5].by.as_ref().unwrap().kind, ActorKind::Bot);
        let ids: std::collections::BTreeSet<i64> = entries.iter().map(|one| one.id).collect();
        assert_eq!(ids.len(), 7);
        assert_eq!(
            entries[0].at,
            at(site.fake.world().issues[&7].timeline[0].at)
        );
    }
}

#[tokio::test]
async fn comments_tell_whether_they_were_ever_edited() {
    for site in Site::all().await {
        let (first, second) = {
            let mut world = site.fake.world();
            world.page_max = 1;
            let first = world.comment(7, "dana", "/agent run");
            let second = world.comment(7, "dana", "nothing");
            world.edit(second, "/agent run");
            (first, second)
        };
        let all = site.talk.comments(7, None).await.unwrap();
        let told: Vec<(i64, Option<bool>)> = all.iter().map(|one| (one.id.0, one.edited)).collect();
        assert_eq!(told, [(first, Some(false)), (second, Some(true))]);
        assert_eq!(site.talk.comment(CommentId(second)).await.unwrap(), all[1]);
        let since = at(site.fake.world().comments[1].updated);
        let late = site.talk.comments(7, Some(since)).await.unwrap();
        assert_eq!(late, all[1..]);
        // Where GraphQL does not say, it is not proven either way.
        site.fake
            .world()
            .fault("POST", "graphql", Kind::Without(&["lastEditedAt"]), 1);
        assert_eq!(
            site.talk.comment(CommentId(first)).await.unwrap().edited,
            None
        );
        assert!(matches!(
            site.talk.comment(CommentId(1)).await,
            Err(Error::Gone { .. })
        ));
    }
}

#[tokio::test]
async fn words_are_unedited_only_where_every_edit_is_strictly_earlier() {
    for site in Site::all().await {
        let proof = async |at: Time| site.talk.unedited(7, at).await.unwrap();
        let start = site.fake.world().now;
        assert_eq!(proof(at(start)).await, Proof::Unedited);
        site.fake.world().rewrite(7, "more");
        let edited = site.fake.world().now;
        assert_eq!(proof(at(edited + 1)).await, Proof::Unedited);
        // Within the same second nobody knows what came first.
        assert_eq!(proof(Time(edited * 1000 + 999)).await, Proof::Edited);
        assert_eq!(proof(at(edited - 5)).await, Proof::Edited);
        site.fake.world().rename(7, "mallory", "other");
        let renamed = site.fake.world().now;
        assert_eq!(proof(at(renamed)).await, Proof::Edited);
        assert_eq!(proof(at(renamed + 1)).await, Proof::Unedited);
        // An answer without the field proves nothing.
        for missing in [&["lastEditedAt"][..], &["timelineItems"], &["node"]] {
            site.fake
                .world()
                .fault("POST", "graphql", Kind::Without(missing), 1);
            assert_eq!(proof(at(renamed + 9)).await, Proof::Unknown, "{missing:?}");
        }
        let number = site.opened(true).await;
        let later = at(site.fake.world().now + 1);
        assert_eq!(
            site.talk.unedited(number, later).await.unwrap(),
            Proof::Unedited
        );
    }
}

#[tokio::test]
async fn any_pull_request_is_read_and_its_head_is_fetched_from_our_side() {
    for site in Site::all().await {
        let number = site
            .fake
            .world()
            .pull("mallory", ("patch-1", 1, "main"), ("t", "b"), false);
        let info = site.talk.pull(number).await.unwrap();
        assert!(info.from_fork && !info.draft);
        assert_eq!(info.head, commit('e'));
        assert_eq!(info.head_ref, format!("refs/pull/{number}/head"));
        assert_eq!(
            (info.head_branch.as_str(), info.base_branch.as_str()),
            ("patch-1", "main")
        );
        assert_eq!(info.stands, Stands::Open);
        let own = site.opened(true).await;
        assert!(!site.talk.pull(own).await.unwrap().from_fork);
    }
}

#[tokio::test]
async fn reviews_come_with_their_remarks_and_pending_ones_not_at_all() {
    for site in Site::all().await {
        let number = site.opened(true).await;
        {
            let mut world = site.fake.world();
            world.page_max = 1;
            world.review(
                number,
                "dana",
                "CHANGES_REQUESTED",
                "no",
                &[("src/a.rs", 3, "why"), ("src/b.rs", -4, "old")],
            );
            world.review(number, "lee", "PENDING", "secret", &[]);
            world.review(number, "mallory", "COMMENTED", "", &[("src/c.rs", 1, "hm")]);
            world.review(number, "dana", "APPROVED", "", &[]);
            world.review(number, "dana", "DISMISSED", "", &[]);
        }
        let reviews = site.talk.reviews(number).await.unwrap();
        let told: Vec<(&str, ReviewVerdict, usize)> = reviews
            .iter()
            .map(|one| {
                (
                    one.author.as_ref().unwrap().login.as_str(),
                    one.verdict,
                    one.remarks.len(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("dana", ReviewVerdict::RequestsChanges, 2),
                ("mallory", ReviewVerdict::Comments, 1),
                ("dana", ReviewVerdict::Approves, 0),
                ("dana", ReviewVerdict::Comments, 0),
            ]
        );
        let lines: Vec<Option<u32>> = reviews[0].remarks.iter().map(|one| one.line).collect();
        // The second is on a line that is not there any more.
        assert_eq!(lines, [Some(3), None]);
        assert_eq!(reviews[0].commit, Some(commit('1')));
    }
}

#[tokio::test]
async fn more_changes_than_any_other_list_may_have_are_listed_all_the_same() {
    let Some(site) = Site::token().await else {
        return;
    };
    let count = 10_100;
    let since = site.fake.world().now;
    for number in 1001..1001 + count {
        site.fake.world().issue(number, "dana", "moved here", "");
    }
    let changed = site.talk.changed(at(since)).await.unwrap();
    let imported = changed.iter().filter(|one| one.number > 1000);
    assert_eq!(i64::try_from(imported.count()).unwrap(), count);
}

#[tokio::test]
async fn what_changed_is_listed_by_when_it_was_made_so_that_no_page_loses_one() {
    for site in Site::all().await {
        let number = site.opened(true).await;
        let since = site.fake.world().now;
        {
            let mut world = site.fake.world();
            world.page_max = 1;
            world.close(8, "dana");
            world.comment(7, "dana", "hello");
        }
        let changed = site.talk.changed(at(since)).await.unwrap();
        let told: Vec<(i64, bool)> = changed
            .iter()
            .map(|one| (one.number, one.is_pull))
            .collect();
        assert_eq!(told, [(number, true), (8, false), (7, false)]);
        // Sorted by what changes meanwhile, a list moves under its reader.
        let world = site.fake.world();
        assert!(
            world
                .requests
                .iter()
                .all(|one| !one.contains("sort=updated"))
        );
    }
}

#[tokio::test]
async fn our_reaction_to_a_comment_is_exactly_one() {
    for site in Site::all().await {
        let id = site.fake.world().comment(7, "dana", "/agent run");
        let comment = CommentId(id);
        site.fake.world().comments[0]
            .reactions
            .push((1, "mallory".to_owned(), "eyes".to_owned()));
        for (reaction, content) in [
            (Reaction::Seen, "eyes"),
            (Reaction::Done, "+1"),
            (Reaction::Confused, "confused"),
            (Reaction::Refused, "-1"),
            (Reaction::Refused, "-1"),
        ] {
            site.talk.react(comment, Some(reaction)).await.unwrap();
            let world = site.fake.world();
            let all: Vec<&str> = world.comments[0]
                .reactions
                .iter()
                .map(|(_, _, what)| what.as_str())
                .collect();
            assert_eq!(all, ["eyes", content]);
        }
        assert_eq!(site.fake.world().count("POST", "/reactions"), 4);
        site.talk.react(comment, None).await.unwrap();
        assert_eq!(site.fake.world().comments[0].reactions.len(), 1);
        let gone = site.talk.react(CommentId(1), Some(Reaction::Seen)).await;
        assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
    }
}

#[tokio::test]
async fn a_note_is_made_once_and_says_what_it_was_told_last() {
    for site in Site::all().await {
        let id = site
            .talk
            .ensure_note(7, "verify/7", None, "one")
            .await
            .unwrap();
        for known in [Some(id), None] {
            assert_eq!(
                site.talk
                    .ensure_note(7, "verify/7", known, "two")
                    .await
                    .unwrap(),
                id
            );
        }
        assert_ne!(
            site.talk
                .ensure_note(7, "verify/8", None, "one")
                .await
                .unwrap(),
            id
        );
        let world = site.fake.world();
        assert_eq!(world.comments.len(), 2);
        assert_eq!(
            world.comments[0].body,
            format!("{}\ntwo", note_marker("verify/7"))
        );
    }
}

// ---- deliveries

#[tokio::test]
async fn failed_deliveries_are_sent_again_oldest_first_and_taken_ones_are_not() {
    let Some(site) = Site::app().await else {
        return;
    };
    let (receiver, heard) = receiver().await;
    site.fake.world().hook = Some((receiver, "secret".to_owned()));
    site.fake.world().page_max = 2;
    for (status, name) in [(202, "one"), (500, "two"), (202, "three"), (503, "four")] {
        heard.answer(status);
        let sent = site.fake.deliver("issues", &json!({ "name": name })).await;
        assert_eq!(sent, status);
    }
    let start = at(site.fake.world().deliveries[0].at);
    heard.answer(202);
    let later = at(site.fake.world().now + 1);
    assert_eq!(site.service.redeliver(later).await.unwrap(), 0);
    assert_eq!(site.service.redeliver(start).await.unwrap(), 2);
    let names: Vec<String> = heard.bodies();
    assert_eq!(names, ["one", "two", "three", "four", "two", "four"]);
    // The same ids, so that what was taken after all is not taken twice.
    assert_eq!(heard.ids()[1], heard.ids()[4]);
    assert_eq!(site.service.redeliver(start).await.unwrap(), 0);
    // What is refused again and again is not sent for ever.
    heard.answer(500);
    site.fake
        .deliver("issues", &json!({ "name": "five" }))
        .await;
    for expected in [1, 1, 0, 0] {
        assert_eq!(site.service.redeliver(start).await.unwrap(), expected);
    }
    let token = Site::token().await.unwrap();
    assert_eq!(token.service.redeliver(start).await.unwrap(), 0);
}

/// A place for deliveries that answers as it is told.
struct Heard(std::sync::Mutex<(u16, Vec<(String, Value)>)>);

impl Heard {
    fn answer(&self, status: u16) {
        self.0.lock().unwrap().0 = status;
    }

    fn bodies(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        heard
            .1
            .iter()
            .map(|(_, body)| body["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn ids(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .1
            .iter()
            .map(|(id, _)| id.clone())
            .collect()
    }
}

async fn receiver() -> (String, Arc<Heard>) {
    use axum::extract::State;
    let heard = Arc::new(Heard(std::sync::Mutex::new((202, Vec::new()))));
    let hear =
        async |State(heard): State<Arc<Heard>>, headers: axum::http::HeaderMap, body: String| {
            let word = |name: &str| headers[name].to_str().unwrap().to_owned();
            assert!(word("x-hub-signature-256").starts_with("sha256="));
            let mut heard = heard.0.lock().unwrap();
            heard.1.push((
                word("x-github-delivery"),
                serde_json::from_str(&body).unwrap(),
            ));
            axum::http::StatusCode::from_u16(heard.0).unwrap()
        };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new()
        .fallback(hear)
        .with_state(Arc::clone(&heard));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}/hooks/hub"), heard)
}
