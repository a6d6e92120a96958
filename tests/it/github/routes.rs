//! What the fake answers on each route, from what is true in its world.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::description::{Description, pairs};
use super::server::{Caller, Parts, granted, login, not_accessible};
use super::world::{
    APP, APP_BOT, Comment, Event, Grant, INSTALLATION, PullPart, REPO, Review, Run, Status,
    TOKEN_BOT, Thread, User, World, said,
};

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn of(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(crate) fn refused(status: u16, message: &str) -> Self {
        Self::of(status, said(message))
    }

    fn invalid(message: &str, field: &str, code: &str) -> Self {
        let mut error = json!({ "resource": "x", "field": field, "code": code });
        if code == "custom" {
            error["message"] = message.into();
        }
        let mut body = said(if code == "custom" {
            "Validation Failed"
        } else {
            message
        });
        body["errors"] = json!([error]);
        Self::of(422, body)
    }

    /// One page of a list, with where the next is.
    pub(crate) fn paged(mut self, world: &World, host: &str, path: &str, query: &str) -> Self {
        if self.status != 200 {
            return self;
        }
        let list = match &mut self.body {
            Value::Array(list) => list,
            Value::Object(fields) => {
                let under = ["repositories", "check_runs"]
                    .into_iter()
                    .find(|name| fields.contains_key(*name));
                match under.and_then(|name| fields.get_mut(name)) {
                    Some(Value::Array(list)) => list,
                    _ => return self,
                }
            }
            _ => return self,
        };
        let given: BTreeMap<String, String> = pairs(query).into_iter().collect();
        let number = |name: &str| given.get(name).and_then(|text| text.parse::<usize>().ok());
        let per_page = number("per_page")
            .unwrap_or(30)
            .clamp(1, 100)
            .min(world.page_max);
        // Deliveries are paged by a word that only GitHub understands.
        let by_cursor = path.ends_with("/deliveries");
        let page = match given.get("cursor") {
            Some(cursor) => cursor.trim_start_matches("v1_").parse().unwrap(),
            None => number("page").unwrap_or(1),
        };
        let start = ((page - 1) * per_page).min(list.len());
        let rest = list.len() > start + per_page;
        *list = list.drain(..).skip(start).take(per_page).collect();
        if rest {
            let mut next: Vec<String> = query
                .split('&')
                .filter(|part| !part.starts_with("page=") && !part.starts_with("cursor="))
                .map(str::to_owned)
                .collect();
            next.push(if by_cursor {
                format!("cursor=v1_{}", page + 1)
            } else {
                format!("page={}", page + 1)
            });
            let address = format!("{host}{path}?{}", next.join("&"));
            self.headers.push((
                "link",
                format!("<{address}>; rel=\"next\", <{host}{path}?page=99>; rel=\"last\""),
            ));
        }
        self
    }
}

/// The permission that a route takes from an installation, and from the account of a token.
fn needs(method: &str, route: &str) -> Option<(&'static str, &'static str)> {
    let level = if method == "GET" { "read" } else { "write" };
    let rest = route.strip_prefix("/repos/{owner}/{repo}")?;
    let permission = if rest.starts_with("/issues") || rest.starts_with("/labels") {
        "issues"
    } else if rest.starts_with("/branches") {
        "contents"
    } else if rest.starts_with("/pulls") {
        "pull_requests"
    } else if rest.contains("check-runs") {
        "checks"
    } else if rest.contains("status") {
        "statuses"
    } else {
        "metadata"
    };
    Some((permission, level))
}

/// One whole answer.
#[expect(clippy::too_many_arguments, reason = "a request is made of these")]
pub(crate) fn answer(
    world: &mut World,
    description: &Description,
    caller: &Caller,
    method: &str,
    route: &str,
    parts: &Parts,
    query: &str,
    body: &Value,
) -> Reply {
    let show = Show { world, description };
    let of_app = route.starts_with("/app") || route.ends_with("/installation");
    if of_app != (*caller == Caller::App) {
        return Reply::refused(401, "A JSON web token could not be decoded");
    }
    if let (Some((permission, level)), Caller::Installation(_) | Caller::Token) =
        (needs(method, route), caller)
    {
        let has = granted(show.world, caller, permission);
        let enough = has == "write" || (has == "read" && level == "read");
        if !enough && granted(show.world, caller, "metadata") == "none" {
            return Reply::refused(404, "Not Found");
        }
        // Only Apps may write checks; an account is told so.
        if !enough && permission == "checks" && *caller == Caller::Token {
            return Reply::refused(403, "You must authenticate via a GitHub App.");
        }
        if !enough {
            let mut reply = Reply::of(403, not_accessible(caller));
            let header = format!("{permission}={level}");
            reply
                .headers
                .push(("x-accepted-github-permissions", header));
            return reply;
        }
    }
    if show.world.archived && method != "GET" && route.starts_with("/repos/") {
        return Reply::refused(403, "Repository was archived so is read-only.");
    }
    let number = |name: &str| {
        parts
            .get(name)
            .and_then(|text| text.parse::<i64>().ok())
            .unwrap_or(0)
    };
    let given: BTreeMap<String, String> = pairs(query).into_iter().collect();
    if let Some(issue) = parts
        .get("issue_number")
        .or_else(|| parts.get("pull_number"))
    {
        let found = issue
            .parse()
            .ok()
            .and_then(|number: i64| show.world.issues.get(&number));
        if issue
            .parse()
            .is_ok_and(|number| show.world.was_moved(number))
        {
            let mut reply = Reply::refused(301, "Moved Permanently");
            let at = format!("https://forge.test/repositories/{}/issues/1", REPO + 1);
            reply.headers.push(("location", at));
            return reply;
        }
        if issue
            .parse()
            .is_ok_and(|number| show.world.was_deleted(number))
        {
            return Reply::refused(410, "This issue was deleted");
        }
        let Some(found) = found else {
            return Reply::refused(404, "Not Found");
        };
        if parts.contains_key("pull_number") && found.pull.is_none() {
            return Reply::refused(404, "Not Found");
        }
    }
    if parts.contains_key("comment_id")
        && !show
            .world
            .comments
            .iter()
            .any(|one| one.id == number("comment_id"))
    {
        return Reply::refused(404, "Not Found");
    }
    let rest = route.strip_prefix("/repos/{owner}/{repo}").unwrap_or(route);
    match (method, rest) {
        ("GET", "/app") => show.ok(show.app()),
        ("GET", "/app/installations") => show.ok(json!([show.installation()])),
        ("POST", "/app/installations/{installation_id}/access_tokens") => {
            access_token(show, number("installation_id"), body)
        }
        ("GET", "/app/hook/config") => show.ok(show.hook()),
        ("GET", "/app/hook/deliveries") => show.ok(show.deliveries()),
        ("POST", "/app/hook/deliveries/{delivery_id}/attempts") => Reply::of(202, json!({})),
        ("GET", "/installation/repositories") => {
            let all = [show.repository("repository", None)];
            show.ok(json!({ "total_count": 1, "repositories": all }))
        }
        ("GET", "/user") => show.ok(show.user("private-user", TOKEN_BOT)),
        ("GET", "/user/repos") => show.ok(json!([show.repository("repository", Some(TOKEN_BOT))])),
        ("GET", "/users/{username}") => match show.world.users.contains_key(&parts["username"]) {
            true => show.ok(show.user("public-user", &parts["username"])),
            false => Reply::refused(404, "Not Found"),
        },
        ("GET", "") => show.ok(show.repository(
            "full-repository",
            (*caller == Caller::Token).then_some(TOKEN_BOT),
        )),
        ("GET", "/installation") => show.ok(show.installation()),
        ("GET", "/collaborators") => {
            let least = given.get("permission").map_or("pull", String::as_str);
            collaborators(&show, least)
        }
        ("GET", "/collaborators/{username}/permission") => permission(&show, &parts["username"]),
        ("GET", "/branches/{branch}") => match show.world.branches.contains_key(&parts["branch"]) {
            true => show.ok(show.branch(&parts["branch"])),
            false => Reply::refused(404, "Branch not found"),
        },
        ("GET", "/rules/branches/{branch}") => {
            let rules = show.world.rules.iter();
            let rule = |kind: &&str| {
                show.description
                    .like("repository-rule-detailed", json!({ "type": kind }))
            };
            show.ok(rules.map(rule).collect())
        }
        ("GET", "/labels/{name}") => match show.world.labels.contains(&parts["name"]) {
            true => show.ok(show
                .description
                .like("label", json!({ "name": parts["name"] }))),
            false => Reply::refused(404, "Not Found"),
        },
        ("GET", "/issues") => show.ok(show.issues(&given)),
        ("GET", "/issues/{issue_number}") => show.ok(show.issue(number("issue_number"))),
        ("GET", "/issues/{issue_number}/labels") => show.ok(show.labels(number("issue_number"))),
        ("POST", "/issues/{issue_number}/labels") => {
            let issue = number("issue_number");
            for label in body["labels"].as_array().into_iter().flatten() {
                show.world
                    .label(issue, login(caller), label.as_str().unwrap());
            }
            show.ok(show.labels(issue))
        }
        ("DELETE", "/issues/{issue_number}/labels/{name}") => {
            let issue = number("issue_number");
            if !show.world.unlabel(issue, login(caller), &parts["name"]) {
                return Reply::refused(404, "Label does not exist");
            }
            show.ok(show.labels(issue))
        }
        ("DELETE", "/issues/{issue_number}/assignees") => {
            let issue = number("issue_number");
            for gone in body["assignees"].as_array().into_iter().flatten() {
                show.world
                    .unassign(issue, login(caller), gone.as_str().unwrap());
            }
            show.ok(show.issue(issue))
        }
        ("GET", "/issues/{issue_number}/timeline") => {
            show.ok(show.timeline(number("issue_number")))
        }
        ("GET", "/issues/{issue_number}/comments") => {
            let since = given.get("since").map_or(0, |since| seconds(since));
            show.ok(show.comments(number("issue_number"), since))
        }
        ("POST", "/issues/{issue_number}/comments") => {
            let issue = number("issue_number");
            let text = body["body"].as_str().unwrap();
            if show.world.thread(issue).locked {
                return Reply::refused(403, "Unable to create comment because issue is locked.");
            }
            if let Some(reply) = too_long(text) {
                return reply;
            }
            let id = show.world.comment(issue, login(caller), text);
            Reply::of(201, show.comment(id))
        }
        ("GET", "/issues/comments/{comment_id}") => show.ok(show.comment(number("comment_id"))),
        ("PATCH" | "DELETE", "/issues/comments/{comment_id}") => {
            let id = number("comment_id");
            let all = &mut show.world.comments;
            let at = all.iter().position(|one| one.id == id).unwrap();
            if all[at].author != login(caller) {
                return Reply::refused(403, "Must have admin rights to Repository.");
            }
            if method == "DELETE" {
                all.remove(at);
                return Reply::of(204, Value::Null);
            }
            let text = body["body"].as_str().unwrap();
            if let Some(reply) = too_long(text) {
                return reply;
            }
            show.world.edit(id, text);
            show.ok(show.comment(id))
        }
        (_, rest) if rest.contains("/reactions") => reactions(
            show,
            caller,
            method,
            number("comment_id"),
            number("reaction_id"),
            body,
        ),
        ("GET", "/pulls") => show.ok(show.pulls(&given)),
        ("POST", "/pulls") => open_pull(show, caller, body),
        ("GET", "/pulls/{pull_number}") => {
            show.ok(show.pull("pull-request", number("pull_number")))
        }
        ("PATCH", "/pulls/{pull_number}") => {
            let at = number("pull_number");
            show.world.touch(at);
            for (name, of) in [
                ("title", body["title"].as_str()),
                ("body", body["body"].as_str()),
            ] {
                let thread = show.world.thread(at);
                match (name, of) {
                    ("title", Some(of)) => of.clone_into(&mut thread.title),
                    ("body", Some(of)) => of.clone_into(&mut thread.body),
                    _ => {}
                }
            }
            if body["state"] == "closed" {
                show.world.close(at, login(caller));
            }
            show.ok(show.pull("pull-request", at))
        }
        ("GET", "/pulls/{pull_number}/comments") => show.ok(show.remarks(number("pull_number"))),
        ("GET", "/pulls/{pull_number}/reviews") => show.ok(show.reviews(number("pull_number"))),
        ("GET", "/pulls/{pull_number}/requested_reviewers") => {
            let users = show.asked(number("pull_number"));
            show.ok(json!({ "users": users, "teams": [] }))
        }
        ("POST", "/pulls/{pull_number}/requested_reviewers") => {
            request_review(show, number("pull_number"), body)
        }
        ("POST", "/check-runs") => {
            let sha = body["head_sha"].as_str().unwrap().to_owned();
            if !show.world.commits.contains(&sha) {
                return Reply::invalid(
                    &format!("No commit found for SHA: {sha}"),
                    "head_sha",
                    "custom",
                );
            }
            let id = show.world.id();
            show.world.tick();
            let fields = body.clone();
            show.world.runs.push(Run { id, sha, fields });
            Reply::of(201, show.run(id))
        }
        ("PATCH", "/check-runs/{check_run_id}") => {
            let id = number("check_run_id");
            let Some(run) = show.world.runs.iter_mut().find(|one| one.id == id) else {
                return Reply::refused(404, "Not Found");
            };
            for (name, of) in body.as_object().unwrap() {
                run.fields[name] = of.clone();
            }
            show.ok(show.run(id))
        }
        ("GET", "/commits/{ref}/check-runs") => {
            let fits = |run: &&Run| {
                run.sha == parts["ref"]
                    && given
                        .get("check_name")
                        .is_none_or(|name| run.fields["name"] == **name)
            };
            // `filter=latest`: the newest of each name.
            let mut newest: BTreeMap<String, i64> = BTreeMap::new();
            for run in show.world.runs.iter().filter(fits) {
                newest.insert(run.fields["name"].to_string(), run.id);
            }
            let runs: Vec<Value> = newest.values().map(|id| show.run(*id)).collect();
            show.ok(json!({ "total_count": runs.len(), "check_runs": runs }))
        }
        ("GET", "/commits/{ref}/statuses") => {
            if !show.world.commits.contains(&parts["ref"]) {
                return Reply::invalid(
                    &format!("No commit found for SHA: {}", parts["ref"]),
                    "sha",
                    "custom",
                );
            }
            let newest = show
                .world
                .statuses
                .iter()
                .rev()
                .filter(|one| one.sha == parts["ref"]);
            let all: Value = newest.map(|one| show.status(one)).collect();
            show.ok(all)
        }
        ("POST", "/statuses/{sha}") => {
            let sha = parts["sha"].clone();
            if !show.world.commits.contains(&sha) {
                return Reply::invalid(&format!("No commit found for SHA: {sha}"), "sha", "custom");
            }
            if body["description"]
                .as_str()
                .is_some_and(|text| text.chars().count() > 140)
            {
                return Reply::invalid(
                    "description is too long (maximum is 140 characters)",
                    "description",
                    "custom",
                );
            }
            let (id, by) = (show.world.id(), login(caller).to_owned());
            show.world.tick();
            let made = Status {
                id,
                sha,
                by,
                fields: body.clone(),
            };
            show.world.statuses.push(made.clone());
            Reply::of(201, show.status(&made))
        }
        _ => panic!("{method} {route} is described, but the fake has no answer"),
    }
}

fn too_long(text: &str) -> Option<Reply> {
    let long = text.chars().count() > 65_536;
    long.then(|| {
        Reply::invalid(
            "body is too long (maximum is 65536 characters)",
            "body",
            "custom",
        )
    })
}

fn access_token(show: Show<'_>, installation: i64, body: &Value) -> Reply {
    if installation != INSTALLATION {
        return Reply::refused(404, "Not Found");
    }
    if show.world.suspended {
        return Reply::refused(403, "This installation has been suspended");
    }
    let only: Option<Vec<i64>> = body["repository_ids"]
        .as_array()
        .map(|ids| ids.iter().filter_map(Value::as_i64).collect());
    if only
        .as_ref()
        .is_some_and(|ids| ids.iter().any(|id| *id != REPO))
    {
        return Reply::invalid(
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
            "repository_ids",
            "custom",
        );
    }
    let mut permissions = show.world.permissions.clone();
    if let Some(asked) = body["permissions"].as_object() {
        for (name, level) in asked {
            let has = permissions.get(name).map_or("none", String::as_str);
            if has != "write" && has != level.as_str().unwrap() {
                return Reply::invalid(
                    "The permissions requested are not granted to this installation.",
                    "permissions",
                    "custom",
                );
            }
        }
        let level = |of: &Value| of.as_str().unwrap().to_owned();
        permissions = asked
            .iter()
            .map(|(name, of)| (name.clone(), level(of)))
            .collect();
    }
    let id = show.world.id();
    // The newer form: long, with dots. Nothing may be known about it.
    let token = format!("ghs_{APP}_eyJh.{}.{id}", "x".repeat(480));
    let fields = json!({
        "token": token,
        "expires_at": "2099-01-01T00:00:00Z",
        "permissions": permissions,
        "repository_selection": "selected",
    });
    show.world.grants.insert(token, Grant { only, permissions });
    Reply::of(201, show.description.like("installation-token", fields))
}

/// What a role permits, the least first.
const ORDER: [&str; 5] = ["pull", "triage", "push", "maintain", "admin"];

fn level(permits: &str) -> usize {
    ORDER.iter().position(|one| *one == permits).unwrap_or(0)
}

fn collaborators(show: &Show<'_>, least: &str) -> Reply {
    let users = show.world.users.iter();
    let all = users.filter_map(|(login, user)| {
        let (role, permits) = user.role.clone()?;
        let fields = json!({ "login": login, "id": user.id, "type": user.kind, "role_name": role });
        let fits = level(permits) >= level(least) && user.kind != "Organization";
        fits.then(|| show.description.like("collaborator", fields))
    });
    show.ok(Value::Array(all.collect()))
}

fn permission(show: &Show<'_>, login: &str) -> Reply {
    let Some(user) = show.world.users.get(login) else {
        return Reply::refused(404, "Not Found");
    };
    if user.kind == "Organization" || login == "Copilot" {
        return Reply::refused(404, &format!("{login} is not a user"));
    }
    // Everyone may read what is public.
    let (role, permits) = user.role.clone().unwrap_or(("read".to_owned(), "pull"));
    let level = level(permits);
    let permissions: serde_json::Map<String, Value> = ORDER
        .iter()
        .enumerate()
        .map(|(at, name)| ((*name).to_owned(), Value::from(at <= level)))
        .collect();
    let folded = match permits {
        "admin" => "admin",
        "maintain" | "push" => "write",
        _ => "read",
    };
    let fields = json!({ "login": login, "id": user.id, "type": user.kind, "permissions": permissions, "role_name": role });
    let user = show.description.like("nullable-collaborator", fields);
    show.ok(json!({ "permission": folded, "role_name": role, "user": user }))
}

fn reactions(
    show: Show<'_>,
    caller: &Caller,
    method: &str,
    comment: i64,
    reaction: i64,
    body: &Value,
) -> Reply {
    let id = show.world.id();
    let one = show
        .world
        .comments
        .iter_mut()
        .find(|one| one.id == comment)
        .unwrap();
    match method {
        "GET" => {
            let all = one.reactions.clone();
            let all: Value = all.iter().map(|one| show.reaction(one)).collect();
            show.ok(all)
        }
        "POST" => {
            let content = body["content"].as_str().unwrap();
            let there = one
                .reactions
                .iter()
                .find(|(_, who, what)| who == login(caller) && what == content);
            if let Some(there) = there.cloned() {
                return show.ok(show.reaction(&there));
            }
            let made = (id, login(caller).to_owned(), content.to_owned());
            one.reactions.push(made.clone());
            Reply::of(201, show.reaction(&made))
        }
        _ => {
            one.reactions
                .retain(|(id, who, _)| *id != reaction || who != login(caller));
            Reply::of(204, Value::Null)
        }
    }
}

fn open_pull(show: Show<'_>, caller: &Caller, body: &Value) -> Reply {
    let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (head, base, draft) = (word("head"), word("base"), body["draft"] == true);
    if !show.world.branches.contains_key(&head) {
        return Reply::invalid("Validation Failed", "head", "invalid");
    }
    if !show.world.branches.contains_key(&base) {
        return Reply::invalid("Validation Failed", "base", "invalid");
    }
    let there = |one: &Thread| {
        let pull = one.pull.as_ref();
        one.open
            && pull
                .is_some_and(|pull| pull.from == REPO && pull.branch == head && pull.base == base)
    };
    if show.world.issues.values().any(there) {
        let owner = show.owner();
        return Reply::invalid(
            &format!("A pull request already exists for {owner}:{head}."),
            "base",
            "custom",
        );
    }
    if draft && !show.world.drafts {
        return Reply::invalid(
            "Draft pull requests are not supported in this repository.",
            "draft",
            "custom",
        );
    }
    if let Some(reply) = too_long(&word("body")) {
        return reply;
    }
    let number = show.world.pull(
        login(caller),
        (&head, REPO, &base),
        (&word("title"), &word("body")),
        draft,
    );
    Reply::of(201, show.pull("pull-request", number))
}

fn request_review(show: Show<'_>, number: i64, body: &Value) -> Reply {
    let asked: Vec<String> = body["reviewers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one.as_str().unwrap().to_owned())
        .collect();
    for login in &asked {
        if *login == show.world.issues[&number].author {
            return Reply::refused(422, "Review cannot be requested from pull request author.");
        }
        let known = show.world.users.get(login);
        if known.is_none_or(|user| user.role.is_none()) {
            return Reply::refused(
                422,
                "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the repository.",
            );
        }
    }
    show.world.touch(number);
    let pull = show.world.thread(number).pull.as_mut().unwrap();
    for login in asked {
        if !pull.asked.contains(&login) {
            pull.asked.push(login);
        }
    }
    Reply::of(201, show.pull("pull-request-simple", number))
}

/// One field of the root of a GraphQL document.
pub(crate) fn graph(
    world: &mut World,
    caller: &Caller,
    field: &str,
    args: &Value,
) -> Result<Value, (Value, Value)> {
    let missing = |id: &str| {
        let words = format!("Could not resolve to a node with the global id of '{id}'");
        json!({ "type": "NOT_FOUND", "path": [field], "message": words })
    };
    let forbidden = |what: &str| {
        let error = json!({ "type": "FORBIDDEN", "path": [field], "message": not_accessible(caller)["message"] });
        match granted(world, caller, what).as_str() {
            "write" => Ok(()),
            _ => Err((Value::Null, error)),
        }
    };
    match field {
        "node" => {
            let id = args["id"].as_str().unwrap();
            node(world, id).ok_or_else(|| (Value::Null, missing(id)))
        }
        "nodes" => {
            let ids: Vec<&str> = args["ids"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_str().unwrap())
                .collect();
            assert!(ids.len() <= 100, "GitHub takes at most 100 ids");
            let all: Vec<Value> = ids
                .iter()
                .map(|id| node(world, id).unwrap_or_default())
                .collect();
            match ids.iter().zip(&all).find(|(_, found)| found.is_null()) {
                Some((id, _)) => Err((Value::Array(all.clone()), missing(id))),
                None => Ok(Value::Array(all)),
            }
        }
        "minimizeComment" => {
            forbidden("issues")?;
            let id = args["input"]["subjectId"].as_str().unwrap();
            let one = world
                .comments
                .iter_mut()
                .find(|one| format!("IC_{}", one.id) == id);
            let Some(one) = one else {
                return Err((Value::Null, missing(id)));
            };
            one.hidden = true;
            Ok(
                json!({ "__typename": "MinimizeCommentPayload", "minimizedComment": { "__typename": "IssueComment", "isMinimized": true } }),
            )
        }
        "markPullRequestReadyForReview" => {
            forbidden("pull_requests")?;
            let id = args["input"]["pullRequestId"].as_str().unwrap();
            let at = world
                .issues
                .iter()
                .find(|(_, one)| format!("PR_{}", one.id) == id);
            let Some(number) = at.map(|(number, _)| *number) else {
                return Err((Value::Null, missing(id)));
            };
            world.ready(number, login(caller));
            Ok(
                json!({ "__typename": "MarkPullRequestReadyForReviewPayload", "pullRequest": { "__typename": "PullRequest", "isDraft": false } }),
            )
        }
        other => panic!("the fake has no GraphQL field `{other}`"),
    }
}

fn node(world: &World, id: &str) -> Option<Value> {
    let when = |at: Option<i64>| at.map_or(Value::Null, |at| Value::from(time(at)));
    let comment = world
        .comments
        .iter()
        .find(|one| format!("IC_{}", one.id) == id);
    if let Some(one) = comment {
        return Some(
            json!({ "__typename": "IssueComment", "id": id, "lastEditedAt": when(one.edited), "isMinimized": one.hidden }),
        );
    }
    let thread = world.issues.values().find(|one| node_id(one) == id)?;
    let renamed = thread
        .timeline
        .iter()
        .rev()
        .find(|one| one.event == "renamed");
    let renamed: Vec<Value> = renamed
        .map(|one| json!({ "__typename": "RenamedTitleEvent", "createdAt": time(one.at) }))
        .into_iter()
        .collect();
    let kind = if thread.pull.is_some() {
        "PullRequest"
    } else {
        "Issue"
    };
    Some(
        json!({ "__typename": kind, "lastEditedAt": when(thread.edited), "timelineItems": { "__typename": "X", "nodes": renamed } }),
    )
}

pub(crate) fn node_id(thread: &Thread) -> String {
    let kind = if thread.pull.is_some() { "PR" } else { "I" };
    format!("{kind}_{}", thread.id)
}

pub(crate) fn time(at: i64) -> String {
    let time = jiff::Timestamp::from_second(at).unwrap();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn seconds(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_second()
}

/// The world as GitHub shows it.
struct Show<'a> {
    world: &'a mut World,
    description: &'a Description,
}

impl Show<'_> {
    fn ok(&self, body: Value) -> Reply {
        Reply::of(200, body)
    }

    fn owner(&self) -> String {
        self.world.name.split('/').next().unwrap().to_owned()
    }

    /// An account that was deleted shows as the ghost.
    fn user(&self, like: &str, login: &str) -> Value {
        let ghost = User {
            id: 10_137,
            kind: "User",
            role: None,
        };
        let found = self.world.users.get(login);
        let name = if found.is_some() { login } else { "ghost" };
        let user = found.unwrap_or(&ghost);
        self.description.like(
            like,
            json!({ "login": name, "id": user.id, "type": user.kind }),
        )
    }

    fn simple(&self, login: &str) -> Value {
        self.user("simple-user", login)
    }

    fn app(&self) -> Value {
        let fields = json!({ "id": APP, "slug": APP_BOT.trim_end_matches("[bot]"), "name": "Prentice test", "owner": self.simple("acme") });
        self.description.like("integration", fields)
    }

    fn installation(&self) -> Value {
        let fields = json!({
            "id": INSTALLATION, "app_id": APP, "account": self.simple(&self.owner()),
            "permissions": self.world.permissions,
            "suspended_at": self.world.suspended.then_some("2026-11-01T00:00:00Z"),
        });
        self.description.like("installation", fields)
    }

    fn repository(&self, like: &str, seen_by: Option<&str>) -> Value {
        let world = &self.world;
        let name = &world.name;
        let mut fields = json!({
            "id": REPO, "name": name.split('/').nth(1), "full_name": name, "owner": self.simple(&self.owner()),
            "private": false, "archived": world.archived, "default_branch": "main",
            "html_url": format!("https://forge.test/{name}"),
            "clone_url": format!("{}/{name}.git", world.git_at),
        });
        if let Some(seen_by) = seen_by {
            let permits = world.users[seen_by]
                .role
                .as_ref()
                .map_or("pull", |(_, permits)| *permits);
            let order = ["pull", "triage", "push", "maintain", "admin"];
            let level = order.iter().position(|one| *one == permits).unwrap();
            for (at, one) in order.iter().enumerate() {
                fields["permissions"][one] = (at <= level).into();
            }
        }
        self.description.like(like, fields)
    }

    fn issue(&self, number: i64) -> Value {
        let thread = &self.world.issues[&number];
        let labels: Vec<Value> = thread
            .labels
            .iter()
            .map(|name| json!({ "id": 1, "name": name, "color": "ededed" }))
            .collect();
        let assignees: Vec<Value> = thread
            .assignees
            .iter()
            .map(|one| self.simple(one))
            .collect();
        let mut fields = json!({
            "id": thread.id, "node_id": node_id(thread), "number": number, "title": thread.title,
            "body": thread.body, "state": if thread.open { "open" } else { "closed" }, "locked": thread.locked,
            "user": self.simple(&thread.author), "labels": labels, "assignees": assignees, "comments": 0,
            "created_at": time(thread.created), "updated_at": time(thread.updated),
            "closed_at": (!thread.open).then(|| time(thread.updated)),
            "html_url": format!("https://forge.test/{}/issues/{number}", self.world.name),
            // Wrong for everybody on purpose: nothing may be concluded from it.
            "author_association": "OWNER",
        });
        if let Some(by) = &thread.closed_by {
            fields["closed_by"] = self.simple(by);
        }
        if thread.pull.is_some() {
            let url = "https://forge.test/x";
            fields["pull_request"] =
                json!({ "url": url, "html_url": url, "diff_url": url, "patch_url": url });
        }
        self.description.like("issue", fields)
    }

    fn issues(&self, given: &BTreeMap<String, String>) -> Value {
        let word = |name: &str| given.get(name).map(String::as_str);
        let since = word("since").map_or(0, seconds);
        let mut found: Vec<(i64, i64)> = self
            .world
            .issues
            .iter()
            .filter(|(_, one)| {
                let state = word("state").unwrap_or("open");
                (state == "all" || (state == "open") == one.open)
                    && word("creator").is_none_or(|creator| creator == one.author)
                    && one.updated >= since
            })
            .map(|(number, one)| {
                let by = if word("sort") == Some("updated") {
                    one.updated
                } else {
                    one.created
                };
                (by, *number)
            })
            .collect();
        found.sort_unstable();
        if word("direction") != Some("asc") {
            found.reverse();
        }
        found
            .iter()
            .map(|(_, number)| self.issue(*number))
            .collect()
    }

    fn labels(&self, number: i64) -> Value {
        let thread = &self.world.issues[&number];
        thread
            .labels
            .iter()
            .map(|name| self.description.like("label", json!({ "name": name })))
            .collect()
    }

    fn timeline(&self, number: i64) -> Value {
        let thread = &self.world.issues[&number];
        let mut all: Vec<(i64, Value)> = thread
            .timeline
            .iter()
            .map(|one| (one.id, self.event(one)))
            .collect();
        for one in self.world.comments.iter().filter(|one| one.issue == number) {
            let fields = json!({
                "event": "commented", "id": one.id, "actor": self.simple(&one.author), "user": self.simple(&one.author),
                "body": one.body, "created_at": time(one.created), "updated_at": time(one.updated),
            });
            all.push((
                one.id,
                self.description.like("timeline-comment-event", fields),
            ));
        }
        all.sort_by_key(|(id, _)| *id);
        all.into_iter().map(|(_, one)| one).collect()
    }

    fn event(&self, one: &Event) -> Value {
        let (like, about) = match one.event {
            "labeled" => (
                "labeled-issue-event",
                json!({ "label": { "name": one.about, "color": "ededed" } }),
            ),
            "unlabeled" => (
                "unlabeled-issue-event",
                json!({ "label": { "name": one.about, "color": "ededed" } }),
            ),
            "assigned" => (
                "timeline-assigned-issue-event",
                json!({ "assignee": self.simple(&one.about) }),
            ),
            "unassigned" => (
                "timeline-unassigned-issue-event",
                json!({ "assignee": self.simple(&one.about) }),
            ),
            "renamed" => (
                "renamed-issue-event",
                json!({ "rename": { "from": "x", "to": one.about } }),
            ),
            _ => ("state-change-issue-event", json!({})),
        };
        let mut value = self.description.like(like, json!({
            "id": one.id, "event": one.event, "actor": self.simple(&one.actor), "created_at": time(one.at),
        }));
        super::description::lay_over(&mut value, about);
        value
    }

    fn comment(&self, id: i64) -> Value {
        let one = self.world.comments.iter().find(|one| one.id == id).unwrap();
        self.comment_of(one)
    }

    fn comment_of(&self, one: &Comment) -> Value {
        let name = &self.world.name;
        self.description.like("issue-comment", json!({
            "id": one.id, "node_id": format!("IC_{}", one.id), "body": one.body, "user": self.simple(&one.author),
            "created_at": time(one.created), "updated_at": time(one.updated), "author_association": "OWNER",
            "html_url": format!("https://forge.test/{name}/issues/{}#issuecomment-{}", one.issue, one.id),
            "issue_url": format!("https://forge.test/repos/{name}/issues/{}", one.issue),
        }))
    }

    fn comments(&self, number: i64, since: i64) -> Value {
        let of = |one: &&Comment| one.issue == number && one.updated >= since;
        self.world
            .comments
            .iter()
            .filter(of)
            .map(|one| self.comment_of(one))
            .collect()
    }

    fn reaction(&self, (id, who, content): &(i64, String, String)) -> Value {
        self.description.like(
            "reaction",
            json!({ "id": id, "user": self.simple(who), "content": content }),
        )
    }

    fn pull(&self, like: &str, number: i64) -> Value {
        let thread = &self.world.issues[&number];
        let pull = thread.pull.as_ref().unwrap();
        let side = |branch: &str, sha: &str, repo: Value| json!({ "label": branch, "ref": branch, "sha": sha, "repo": repo, "user": self.simple(&thread.author) });
        let here = self.repository("repository", None);
        let mut theirs = here.clone();
        if pull.from != REPO {
            theirs["id"] = pull.from.into();
            theirs["full_name"] = format!("{}/widget", thread.author).into();
            // Of a fork we are given nothing; who asks there gets no answer at all.
            theirs["clone_url"] = "https://fork.invalid/widget.git".into();
        }
        let base = self.world.branches[&pull.base].to_string();
        let mut fields = json!({
            "id": thread.id, "node_id": node_id(thread), "number": number, "title": thread.title, "body": thread.body,
            "state": if thread.open { "open" } else { "closed" }, "draft": pull.draft, "user": self.simple(&thread.author),
            "head": side(&pull.branch, &pull.head, theirs), "base": side(&pull.base, &base, here),
            "created_at": time(thread.created), "updated_at": time(thread.updated),
            "html_url": format!("https://forge.test/{}/pull/{number}", self.world.name),
            "merged_at": pull.merged.as_ref().map(|(_, at)| time(*at)),
            "author_association": "OWNER",
        });
        if like == "pull-request" {
            fields["merged"] = pull.merged.is_some().into();
            if let Some((by, _)) = &pull.merged {
                fields["merged_by"] = self.simple(by);
            }
        }
        self.description.like(like, fields)
    }

    fn pulls(&self, given: &BTreeMap<String, String>) -> Value {
        let state = given.get("state").map_or("open", String::as_str);
        // A head without its owner is no filter at all.
        let head = given.get("head").and_then(|head| head.split_once(':'));
        let fits = |thread: &Thread, pull: &PullPart| {
            (state == "all" || (state == "open") == thread.open)
                && head.is_none_or(|(owner, branch)| {
                    owner == self.owner() && branch == pull.branch && pull.from == REPO
                })
        };
        let found = self
            .world
            .issues
            .iter()
            .rev()
            .filter(|(_, one)| one.pull.as_ref().is_some_and(|pull| fits(one, pull)));
        found
            .map(|(number, _)| self.pull("pull-request-simple", *number))
            .collect()
    }

    fn asked(&self, number: i64) -> Vec<Value> {
        let pull = self.world.issues[&number].pull.as_ref().unwrap();
        pull.asked.iter().map(|login| self.simple(login)).collect()
    }

    fn reviews(&self, number: i64) -> Value {
        let pull = self.world.issues[&number].pull.as_ref().unwrap();
        pull.reviews.iter().map(|one| self.review(one)).collect()
    }

    fn review(&self, one: &Review) -> Value {
        let mut value = self.description.like("pull-request-review", json!({
            "id": one.id, "user": self.simple(&one.by), "body": one.body, "state": one.state,
            "commit_id": one.commit, "submitted_at": time(one.at), "author_association": "OWNER",
        }));
        if one.state == "PENDING" {
            value.as_object_mut().unwrap().remove("submitted_at");
        }
        value
    }

    fn remarks(&self, number: i64) -> Value {
        let pull = self.world.issues[&number].pull.as_ref().unwrap();
        let all = pull
            .reviews
            .iter()
            .flat_map(|review| review.remarks.iter().map(move |one| (review, one)));
        all.map(|(review, (id, path, line, text))| {
            self.description.like("pull-request-review-comment", json!({
                "id": id, "pull_request_review_id": review.id, "path": path, "body": text, "line": line.abs(),
                "side": if *line < 0 { "LEFT" } else { "RIGHT" }, "user": self.simple(&review.by),
                "author_association": "OWNER",
            }))
        })
        .collect()
    }

    fn run(&self, id: i64) -> Value {
        let run = self.world.runs.iter().find(|one| one.id == id).unwrap();
        let mut fields = run.fields.clone();
        fields.as_object_mut().unwrap().remove("head_sha");
        super::description::lay_over(
            &mut fields,
            json!({
                "id": id, "head_sha": run.sha, "app": self.app(),
                "output": { "annotations_count": 0, "annotations_url": "https://forge.test/x", "text": null },
            }),
        );
        if fields["details_url"].is_null() {
            fields["details_url"] = "https://forge.test/apps/prentice-test".into();
        }
        self.description.like("check-run", fields)
    }

    fn status(&self, one: &Status) -> Value {
        let mut fields = json!({ "id": one.id, "creator": self.simple(&one.by) });
        super::description::lay_over(&mut fields, one.fields.clone());
        self.description.like("status", fields)
    }

    fn branch(&self, name: &str) -> Value {
        let protected = self.world.protected && name == "main";
        let fields = json!({
            "name": name, "protected": protected, "commit": { "sha": self.world.branches[name].as_str() },
        });
        self.description.like("branch-with-protection", fields)
    }

    /// Without a webhook, GitHub describes none of its fields as there.
    fn hook(&self) -> Value {
        match &self.world.hook {
            Some((url, _)) => json!({
                "url": url, "content_type": "json", "insecure_ssl": "0", "secret": "********",
            }),
            None => json!({}),
        }
    }

    fn deliveries(&self) -> Value {
        let newest = self.world.deliveries.iter().rev();
        newest
            .map(|one| {
                self.description.like("hook-delivery-item", json!({
                    "id": one.id, "guid": one.guid, "delivered_at": time(one.at), "status_code": one.status,
                    "event": one.event,
                }))
            })
            .collect()
    }
}
