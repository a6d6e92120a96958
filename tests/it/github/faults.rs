//! Every verb with every fault: it ends right, or with the error of the right remedy; and whatever was lost on the
//! way, a second try from nothing leaves one comment, one pull request, one check.

use prentice::domain::ident::Time;
use prentice::domain::report::CheckState;
use prentice::forge::{CommentId, Error, Leave, Reaction, marker};
use serde_json::{Value, json};

use super::server::Fake;
use super::traps::{BRANCH, PLACE, Site, check, commit, pull, status};
use super::world::{Kind, World, said};

/// Every verb, and whether it sends anything but a GET in the world below.
const VERBS: &[(&str, bool)] = &[
    ("issue", false),
    ("right", false),
    ("ensure_status", true),
    ("ensure_status again", true),
    ("ensure_comment", true),
    ("ensure_label", true),
    ("set_check", true),
    ("set_check again", true),
    ("ensure_pull", true),
    ("ensure_pull again", true),
    ("pull_state", false),
    ("close_pull", true),
    ("request_review", true),
    ("mark_ready", true),
    ("drop_trigger", true),
    ("clean_up", true),
    ("repository", false),
    ("thread", false),
    ("timeline", false),
    ("comments", true),
    ("comment", true),
    ("pull", false),
    ("reviews", false),
    ("unedited", true),
    ("changed", false),
    ("react", true),
    ("ensure_note", true),
    ("repositories", false),
    ("repository named", false),
];

const FIRST_COMMENT: i64 = 1;

/// A world in which every verb has something to do.
async fn ready(app: bool, verb: &str) -> Option<Site> {
    let site = Site::new(Fake::public().await?, app);
    let me = site.service.whoami().await.unwrap().login;
    {
        let mut world = site.fake.world();
        let id = world.comment(7, "dana", "/agent run");
        world
            .comments
            .iter_mut()
            .filter(|one| one.id == id)
            .for_each(|one| one.id = FIRST_COMMENT);
        world.label(7, "dana", "agent");
        world.label(7, "dana", "agent:queued");
        world.assign(7, "dana", &me);
        world.push(BRANCH, &commit('1'));
    }
    let with_pull = [
        "pull_state",
        "close_pull",
        "request_review",
        "mark_ready",
        "pull",
        "reviews",
        "ensure_pull again",
    ];
    if with_pull.contains(&verb) {
        site.forge
            .ensure_pull(PLACE, &pull("old", "old", true))
            .await
            .unwrap();
    }
    match verb {
        "clean_up" => drop(
            site.forge
                .ensure_comment(PLACE, "tell-0", "ping")
                .await
                .unwrap(),
        ),
        "ensure_status again" => drop(
            site.forge
                .ensure_status(PLACE, None, &status("old"))
                .await
                .unwrap(),
        ),
        "set_check again" => site
            .forge
            .set_check(PLACE, &check(CheckState::Pending, "old"))
            .await
            .unwrap(),
        _ => {}
    }
    // As after a start: nothing is remembered but who we are, and the token.
    let site = site.restarted(app);
    site.service.whoami().await.unwrap();
    site.forge.issue(7).await.unwrap();
    Some(site)
}

async fn act(site: &Site, verb: &str) -> Result<(), Error> {
    let (forge, talk) = (&site.forge, &site.talk);
    let comment = CommentId(FIRST_COMMENT);
    match verb {
        "issue" => forge.issue(7).await.map(drop),
        "right" => talk.right("dana").await.map(drop),
        "ensure_status" | "ensure_status again" => forge
            .ensure_status(PLACE, None, &status("one"))
            .await
            .map(drop),
        "ensure_comment" => forge
            .ensure_comment(PLACE, "tell-1", "ping")
            .await
            .map(drop),
        "ensure_label" => forge.ensure_label(PLACE, Some("agent:running")).await,
        "set_check" | "set_check again" => {
            forge
                .set_check(PLACE, &check(CheckState::Success, "a line"))
                .await
        }
        "ensure_pull" | "ensure_pull again" => forge
            .ensure_pull(PLACE, &pull("t", "b", true))
            .await
            .map(drop),
        "pull_state" => forge.pull_state(PLACE).await.map(drop),
        "close_pull" => forge.close_pull(PLACE).await,
        "request_review" => forge.request_review(PLACE, "dana").await,
        "mark_ready" => forge.mark_ready(PLACE).await,
        "drop_trigger" => forge.drop_trigger(PLACE, "agent").await,
        "clean_up" => forge.clean_up(PLACE, Leave::Record).await,
        "repository" => talk.repository().await.map(drop),
        "thread" => talk.thread(7).await.map(drop),
        "timeline" => talk.timeline(7).await.map(drop),
        "comments" => talk.comments(7, None).await.map(drop),
        "comment" => talk.comment(comment).await.map(drop),
        "pull" => talk.pull(9).await.map(drop),
        "reviews" => talk.reviews(9).await.map(drop),
        "unedited" => talk.unedited(7, Time(0)).await.map(drop),
        "changed" => talk.changed(Time(0)).await.map(drop),
        "react" => talk.react(comment, Some(Reaction::Seen)).await,
        "ensure_note" => talk.ensure_note(7, "verify/7", None, "one").await.map(drop),
        "repositories" => site
            .service
            .repositories(&["acme/*".to_owned()])
            .await
            .map(drop),
        "repository named" => site.service.repository("acme/widget").await.map(drop),
        other => panic!("{other}"),
    }
}

/// What the verb leaves when all went well.
fn holds(world: &World, verb: &str) -> bool {
    let thread = &world.issues[&7];
    let of_us = |begin: &str| {
        world
            .comments
            .iter()
            .filter(|one| one.body.starts_with(begin))
            .count()
    };
    let pulls: Vec<_> = world
        .issues
        .values()
        .filter(|one| one.pull.is_some())
        .collect();
    let ours = |one: &&super::world::Comment| {
        one.body.starts_with("<!-- prentice") && one.body.ends_with("one")
    };
    match verb {
        "ensure_status" | "ensure_status again" => {
            of_us(&marker(PLACE, None)) == 1 && world.comments.iter().filter(ours).count() == 1
        }
        "ensure_comment" => of_us(&marker(PLACE, Some("tell-1"))) == 1,
        "ensure_note" => of_us("<!-- prentice v1 note=verify/7 -->") == 1,
        "ensure_label" => thread.labels == ["agent", "agent:running"],
        "set_check" | "set_check again" => {
            let last = world
                .statuses
                .last()
                .is_some_and(|one| one.fields["state"] == "success");
            world.runs.len() <= 1
                && (last
                    || world
                        .runs
                        .iter()
                        .all(|run| run.fields["conclusion"] == "success"))
        }
        "ensure_pull" | "ensure_pull again" => pulls.len() == 1 && pulls[0].title == "t",
        "close_pull" => pulls.len() == 1 && !pulls[0].open,
        "request_review" => pulls[0].pull.as_ref().unwrap().asked == ["dana"],
        "mark_ready" => !pulls[0].pull.as_ref().unwrap().draft,
        "drop_trigger" => thread.assignees.is_empty() && thread.labels == ["agent:queued"],
        "clean_up" => thread.labels == ["agent"] && world.comments.iter().any(|one| one.hidden),
        "react" => world.comments[0].reactions.len() == 1,
        _ => true,
    }
}

fn remedy(result: &Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(Error::Retry {
            after_secs: None, ..
        }) => "retry",
        Err(Error::Retry {
            after_secs: Some(_),
            ..
        }) => "retry later",
        Err(Error::Auth { .. }) => "auth",
        Err(Error::NotPermitted { .. }) => "not permitted",
        Err(Error::Gone { .. }) => "gone",
        Err(Error::Conflict { .. }) => "conflict",
        Err(Error::Invalid { .. }) => "invalid",
        Err(Error::Away { .. }) => "away",
        Err(Error::Unavailable { .. }) => "unavailable",
    }
}

fn plain(status: u16, message: &str) -> Kind {
    Kind::Instead(status, Vec::new(), said(message))
}

/// Runs every verb against a fault that does not end, and tells those that end otherwise than `expected`.
async fn each(fault: &Kind, expected: &str, except: &[(&str, &str)]) {
    let mut otherwise = Vec::new();
    for app in [true, false] {
        for (verb, _) in VERBS {
            let Some(site) = ready(app, verb).await else {
                return;
            };
            site.fake.world().fault("*", "", fault.clone(), usize::MAX);
            let ended = act(&site, verb).await;
            let wanted = except
                .iter()
                .find(|(of, _)| of == verb)
                .map_or(expected, |(_, wanted)| *wanted);
            if remedy(&ended) != wanted {
                otherwise.push(format!("{verb} (app: {app}): {wanted} expected, {ended:?}"));
            }
            let words = ended
                .err()
                .map(|error| format!("{error} {error:?}"))
                .unwrap_or_default();
            assert!(
                !words.contains("ghs_")
                    && !words.contains("github_pat_")
                    && !words.contains("Bearer"),
                "{words}"
            );
        }
    }
    assert!(otherwise.is_empty(), "\n{}\n", otherwise.join("\n"));
}

#[tokio::test]
async fn a_refused_credential_asks_for_another_one() {
    each(&plain(401, "Bad credentials"), "auth", &[]).await;
}

#[tokio::test]
async fn a_rate_limit_waits_as_long_as_github_says() {
    // The world's clock stands at its start when the requests of a verb begin; what passed since is seconds.
    let reset = vec![
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", "1795169800".to_owned()),
    ];
    let primary = Kind::Instead(
        403,
        reset,
        said("API rate limit exceeded for installation."),
    );
    each(&primary, "retry later", &[]).await;
    let Some(site) = ready(true, "issue").await else {
        return;
    };
    let now = site.fake.world().now;
    site.fake.world().fault("*", "", primary, 1);
    match act(&site, "issue").await {
        Err(Error::Retry { after_secs, .. }) => {
            assert_eq!(after_secs, u64::try_from(1_795_169_800 - now + 1).ok())
        }
        other => panic!("{other:?}"),
    }
    // And then nothing at all is sent until that time.
    let before = site.fake.world().requests.len();
    assert_eq!(remedy(&act(&site, "ensure_status").await), "retry later");
    assert_eq!(site.fake.world().requests.len(), before);
}

#[tokio::test]
async fn a_secondary_limit_waits_what_it_says_or_a_minute() {
    let secondary = said(
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    );
    for (headers, status, expected) in [
        (vec![("retry-after", "30".to_owned())], 403, 30),
        (vec![("retry-after", "45".to_owned())], 429, 45),
        (Vec::new(), 403, 60),
        (Vec::new(), 429, 60),
    ] {
        let fault = Kind::Instead(status, headers, secondary.clone());
        each(&fault, "retry later", &[]).await;
        let Some(site) = ready(false, "issue").await else {
            return;
        };
        site.fake.world().fault("*", "", fault, 1);
        match act(&site, "issue").await {
            Err(Error::Retry { after_secs, .. }) => assert_eq!(after_secs, Some(expected)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_missing_permission_asks_for_it() {
    each(
        &plain(403, "Resource not accessible by integration"),
        "not permitted",
        &[],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_gone() {
    let except = [
        // With the issue went what they would have taken away.
        ("drop_trigger", "ok"),
        ("clean_up", "ok"),
    ];
    each(&plain(404, "Not Found"), "gone", &except).await;
    each(&plain(410, "This issue was deleted"), "gone", &except).await;
    each(&plain(301, "Moved Permanently"), "gone", &except).await;
}

#[tokio::test]
async fn what_is_refused_as_invalid_is_not_tried_again() {
    let mut body = said("Validation Failed");
    body["errors"] = json!([{ "resource": "X", "field": "y", "code": "invalid" }]);
    each(&Kind::Instead(422, Vec::new(), body), "invalid", &[]).await;
    // But for one 422, which is a limit.
    let mut body = said("Validation Failed");
    body["errors"] = json!([{ "resource": "IssueComment", "field": "data", "code": "unprocessable", "message": "was submitted too quickly" }]);
    let Some(site) = ready(true, "ensure_comment").await else {
        return;
    };
    site.fake
        .world()
        .fault("POST", "/comments", Kind::Instead(422, Vec::new(), body), 1);
    assert_eq!(remedy(&act(&site, "ensure_comment").await), "retry later");
}

#[tokio::test]
async fn a_failure_of_the_server_is_tried_again() {
    for status in [500, 502, 503, 504, 408] {
        each(&plain(status, "Server Error"), "retry", &[]).await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_tried_again() {
    let all = VERBS
        .iter()
        .flat_map(|(verb, _)| [(true, *verb), (false, *verb)]);
    let runs: Vec<_> = all
        .map(|(app, verb)| {
            tokio::spawn(async move {
                let site = ready(app, verb).await?;
                site.fake.world().fault("*", "", Kind::Late, usize::MAX);
                let ended = act(&site, verb).await;
                (remedy(&ended) != "retry").then(|| format!("{verb} (app: {app}): {ended:?}"))
            })
        })
        .collect();
    let mut otherwise = Vec::new();
    for run in runs {
        otherwise.extend(run.await.unwrap());
    }
    assert!(otherwise.is_empty(), "\n{}\n", otherwise.join("\n"));
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_nothing_is_done_twice() {
    for (verb, _) in VERBS {
        let Some(site) = ready(true, verb).await else {
            return;
        };
        site.fake.world().fault("*", "", Kind::Expired, 1);
        act(&site, verb).await.unwrap();
        assert!(holds(&site.fake.world(), verb), "{verb}");
    }
}

/// Every write of every verb is lost in turn in the way of `fault`; the next start does the rest.
async fn lost(fault: &Kind) {
    for app in [true, false] {
        for (verb, writes) in VERBS {
            let mut nth = 0;
            loop {
                let Some(site) = ready(app, verb).await else {
                    return;
                };
                // The `nth` write is met, those before it are not.
                site.fake.world().skipping(nth, fault.clone());
                let ended = act(&site, verb).await;
                if site.fake.world().faults.is_empty() {
                    assert_eq!(
                        remedy(&ended),
                        "retry",
                        "{verb} (app: {app}), write {nth}: {ended:?}"
                    );
                    let site = site.restarted(app);
                    act(&site, verb).await.unwrap();
                    assert!(
                        holds(&site.fake.world(), verb),
                        "{verb} (app: {app}), write {nth}"
                    );
                } else {
                    // All its writes were lost once.
                    site.fake.world().faults.clear();
                    ended.unwrap();
                    assert!(holds(&site.fake.world(), verb), "{verb} (app: {app})");
                    assert_eq!(nth > 0, *writes, "{verb} (app: {app}): {nth} writes");
                    break;
                }
                nth += 1;
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_was_done_though_the_server_failed_is_not_done_again() {
    lost(&Kind::After(502, Value::Null)).await;
}

#[tokio::test]
async fn a_write_that_was_answered_otherwise_than_documented_is_looked_for_before_it_is_done_again()
{
    lost(&Kind::Status(206)).await;
}

#[tokio::test]
async fn a_write_that_was_not_done_is_done_at_the_next_try() {
    lost(&plain(503, "No server is currently available")).await;
}

// Models that demand what nobody needs broke more than once when GitHub dropped a field.
#[tokio::test]
async fn fields_that_nobody_needs_may_go() {
    const DROPPED: &[&str] = &[
        "html_url",
        "author_association",
        "locked",
        "labels",
        "assignees",
        "assignee",
        "avatar_url",
        "merged_by",
        "merged",
        "performed_via_github_app",
        "type",
        "default_branch",
        "clone_url",
        "private",
        "archived",
        "url",
        "milestone",
        "closed_by",
        "comments",
        "role_name",
        "details_url",
        "target_url",
        "output",
        "issue_url",
        "site_admin",
        "events",
        "permissions",
        "total_count",
        "suspended_at",
        "owner",
        "side",
        "line",
        "expires_at",
    ];
    for app in [true, false] {
        for (verb, _) in VERBS {
            let Some(site) = ready(app, verb).await else {
                return;
            };
            site.fake
                .world()
                .fault("*", "", Kind::Without(DROPPED), usize::MAX);
            for _ in 0..2 {
                act(&site, verb)
                    .await
                    .unwrap_or_else(|error| panic!("{verb} (app: {app}): {error:?}"));
            }
            site.fake.world().faults.clear();
            // Without labels and assignees nobody can see that the trigger is still there.
            if *verb != "drop_trigger" {
                assert!(holds(&site.fake.world(), verb), "{verb} (app: {app})");
            }
        }
    }
}

// By these fields our own is told from others': without them a second one would be made each time.
#[tokio::test]
async fn without_the_fields_by_which_ours_is_found_nothing_is_made_twice() {
    for missing in [
        &["user", "creator", "app"][..],
        &["body"],
        &["id"],
        &["name", "context"],
    ] {
        for app in [true, false] {
            for (verb, writes) in VERBS {
                if !writes {
                    continue;
                }
                let Some(site) = ready(app, verb).await else {
                    return;
                };
                act(&site, verb).await.unwrap();
                let made =
                    |world: &World| (world.comments.len(), world.issues.len(), world.runs.len());
                let before = made(&site.fake.world());
                let site = site.restarted(app);
                site.service.whoami().await.unwrap();
                site.forge.issue(7).await.unwrap();
                site.fake
                    .world()
                    .fault("*", "/repositories/", Kind::Without(missing), usize::MAX);
                for _ in 0..2 {
                    let _ = act(&site, verb).await;
                }
                assert_eq!(
                    made(&site.fake.world()),
                    before,
                    "{verb} (app: {app}) without {missing:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_dribbles_or_is_no_json_is_no_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let read = socket.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
                if request.starts_with("GET /user ") {
                    let _ = socket
                        .write_all(
                            format!("{head}content-length: 14\r\n\r\n<html>no</html").as_bytes(),
                        )
                        .await;
                    return;
                }
                if request.starts_with("GET /user/repos") {
                    // Cut in the middle.
                    let _ = socket
                        .write_all(format!("{head}content-length: 500\r\n\r\n[{{").as_bytes())
                        .await;
                    return;
                }
                let _ = socket
                    .write_all(format!("{head}content-length: 500\r\n\r\n").as_bytes())
                    .await;
                while socket.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                }
            });
        }
    });
    let token = secrecy::SecretString::from("ghp_secret".to_owned());
    let service = prentice::forge::github_token("hub", Some(&base), &token).unwrap();
    let started = std::time::Instant::now();
    for (what, ended) in [
        ("no JSON", service.whoami().await.map(drop)),
        (
            "cut",
            service.repositories(&["acme/*".to_owned()]).await.map(drop),
        ),
        (
            "dribbling",
            service.repository("acme/widget").await.map(drop),
        ),
    ] {
        assert_eq!(remedy(&ended), "retry", "{what}: {ended:?}");
    }
    assert!(started.elapsed().as_secs() < 40);
}

#[tokio::test]
async fn writes_are_spaced_before_github_has_to_say_so() {
    let Some(site) = ready(true, "issue").await else {
        return;
    };
    let mut done = 0;
    let waits = loop {
        let comment = CommentId(FIRST_COMMENT);
        let reaction = if done % 2 == 0 {
            Reaction::Seen
        } else {
            Reaction::Done
        };
        match site.talk.react(comment, Some(reaction)).await {
            Ok(()) => done += 1,
            Err(Error::Retry { after_secs, .. }) => break after_secs,
            Err(error) => panic!("{error:?}"),
        }
    };
    let world = site.fake.world();
    let writes = world.count("POST", "/reactions") + world.count("DELETE", "/reactions");
    assert_eq!(writes, 64);
    assert!(
        waits.is_some_and(|secs| (1..=60).contains(&secs)),
        "{waits:?}"
    );
}
