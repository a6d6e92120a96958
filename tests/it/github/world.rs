//! What is true on the fake GitHub, and what people do there.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;

use prentice::domain::ident::CommitId;
use serde_json::{Value, json};

/// Its one repository.
pub(crate) const REPO: i64 = 4242;
/// The App, and its installation.
pub(crate) const APP: i64 = 77;
pub(crate) const INSTALLATION: i64 = 501;
/// What both of our accounts are called.
pub(crate) const APP_BOT: &str = "prentice-test[bot]";
pub(crate) const TOKEN_BOT: &str = "prentice-robot";
/// The personal token.
pub(crate) const TOKEN: &str = "github_pat_11AAAAAAA0abcdefghijklmnopqrstuvwxyz";

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) kind: &'static str,
    /// Role in the repository, with what it permits: `None` for one who is no collaborator.
    pub(crate) role: Option<(String, &'static str)>,
}

pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) event: &'static str,
    pub(crate) actor: String,
    pub(crate) at: i64,
    /// The label, the assignee or the new title.
    pub(crate) about: String,
}

pub(crate) struct Review {
    pub(crate) id: i64,
    pub(crate) by: String,
    pub(crate) state: &'static str,
    pub(crate) body: String,
    pub(crate) commit: String,
    pub(crate) at: i64,
    /// Id, path, line (negative on the left side), text.
    pub(crate) remarks: Vec<(i64, String, i64, String)>,
}

pub(crate) struct PullPart {
    pub(crate) branch: String,
    /// The repository of its branch; another one for a fork.
    pub(crate) from: i64,
    pub(crate) base: String,
    pub(crate) draft: bool,
    pub(crate) head: String,
    pub(crate) merged: Option<(String, i64)>,
    pub(crate) asked: Vec<String>,
    pub(crate) reviews: Vec<Review>,
}

pub(crate) struct Thread {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) open: bool,
    pub(crate) locked: bool,
    pub(crate) author: String,
    pub(crate) labels: Vec<String>,
    pub(crate) assignees: Vec<String>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) edited: Option<i64>,
    pub(crate) closed_by: Option<String>,
    pub(crate) timeline: Vec<Event>,
    pub(crate) pull: Option<PullPart>,
}

pub(crate) struct Comment {
    pub(crate) id: i64,
    pub(crate) issue: i64,
    pub(crate) author: String,
    pub(crate) body: String,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) edited: Option<i64>,
    pub(crate) hidden: bool,
    /// Id, who, what.
    pub(crate) reactions: Vec<(i64, String, String)>,
}

#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) id: i64,
    pub(crate) sha: String,
    pub(crate) fields: Value,
}

#[derive(Clone)]
pub(crate) struct Status {
    pub(crate) id: i64,
    pub(crate) sha: String,
    pub(crate) by: String,
    pub(crate) fields: Value,
}

pub(crate) struct Grant {
    pub(crate) only: Option<Vec<i64>>,
    pub(crate) permissions: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) id: i64,
    pub(crate) guid: String,
    pub(crate) at: i64,
    pub(crate) status: i64,
    pub(crate) event: String,
    pub(crate) payload: Value,
}

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Answered so, and nothing is done.
    Instead(u16, Vec<(&'static str, String)>, Value),
    /// Done, and answered so all the same.
    After(u16, Value),
    /// Done, and answered with this status, which no route documents.
    Status(u16),
    /// The tokens that were given are worth nothing any more.
    Expired,
    /// Not answered in time.
    Late,
    /// The connection is cut, and nothing is done.
    Cut,
    /// Done, and the connection is cut.
    CutAfter,
    /// Done, and answered so many seconds later.
    Slow(u64),
    /// These fields are missing in the answer.
    Without(&'static [&'static str]),
}

pub(crate) struct Fault {
    pub(crate) method: &'static str,
    /// Part of the path.
    pub(crate) at: &'static str,
    /// The whole call, as [`call`] names it, where that is said.
    pub(crate) call: Option<String>,
    pub(crate) kind: Kind,
    /// How many that fit are let through first.
    pub(crate) skip: usize,
    /// How many requests it meets.
    pub(crate) times: usize,
}

pub(crate) struct World {
    /// Seconds since 1970; one more with each write, or those of the world outside.
    pub(crate) now: i64,
    /// Whether its clock is that of the world outside: then several things happen within its second, as they do.
    live: bool,
    last_id: i64,
    pub(crate) name: String,
    pub(crate) old_names: Vec<String>,
    pub(crate) archived: bool,
    /// Drafts cost money in some repositories.
    pub(crate) drafts: bool,
    /// Labels that the repository has, whatever carries them.
    pub(crate) labels: BTreeSet<String>,
    /// Whether the default branch is protected in the old way.
    pub(crate) protected: bool,
    /// Rules of the default branch, by type.
    pub(crate) rules: Vec<&'static str>,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) permissions: BTreeMap<String, String>,
    pub(crate) suspended: bool,
    pub(crate) grants: HashMap<String, Grant>,
    pub(crate) issues: BTreeMap<i64, Thread>,
    deleted: BTreeSet<i64>,
    moved: BTreeSet<i64>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) runs: Vec<Run>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) branches: BTreeMap<String, CommitId>,
    pub(crate) commits: BTreeSet<String>,
    /// The bare repository, where there is one.
    pub(crate) git: Option<PathBuf>,
    /// Where git is spoken to.
    pub(crate) git_at: String,
    pub(crate) deliveries: Vec<Delivery>,
    /// What is to be delivered: event and payload.
    pub(crate) outbox: VecDeque<(&'static str, Value)>,
    /// Where deliveries go, and the secret that signs them.
    pub(crate) hook: Option<(String, String)>,
    pub(crate) page_max: usize,
    pub(crate) faults: VecDeque<Fault>,
    /// `POST /repos/acme/widget/issues/7/comments`, in order.
    pub(crate) requests: Vec<String>,
    /// What was against GitHub's description, or against its rules.
    pub(crate) wrong: Vec<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            // 2026-11-20 10:00:00.
            now: 1_795_168_800,
            last_id: 9_000,
            live: false,
            name: "acme/widget".to_owned(),
            old_names: Vec::new(),
            archived: false,
            drafts: true,
            labels: BTreeSet::from(["agent".to_owned()]),
            protected: false,
            rules: Vec::new(),
            users: BTreeMap::new(),
            permissions: BTreeMap::new(),
            suspended: false,
            grants: HashMap::new(),
            issues: BTreeMap::new(),
            deleted: BTreeSet::new(),
            moved: BTreeSet::new(),
            comments: Vec::new(),
            runs: Vec::new(),
            statuses: Vec::new(),
            branches: BTreeMap::new(),
            commits: BTreeSet::new(),
            git: None,
            git_at: "https://forge.test".to_owned(),
            deliveries: Vec::new(),
            outbox: VecDeque::new(),
            hook: None,
            page_max: 100,
            faults: VecDeque::new(),
            requests: Vec::new(),
            wrong: Vec::new(),
        };
        for (permission, level) in [
            ("metadata", "read"),
            ("contents", "write"),
            ("issues", "write"),
            ("pull_requests", "write"),
            ("checks", "write"),
        ] {
            world
                .permissions
                .insert(permission.to_owned(), level.to_owned());
        }
        for (login, kind, role) in [
            ("acme", "Organization", None),
            (APP_BOT, "Bot", None),
            (TOKEN_BOT, "User", Some(("write", "push"))),
            ("dana", "User", Some(("admin", "admin"))),
            ("lee", "User", Some(("triage", "triage"))),
            ("mallory", "User", None),
            ("ci[bot]", "Bot", Some(("write", "push"))),
        ] {
            world.person(login, kind, role);
        }
        let main: CommitId = "0".repeat(40).parse().unwrap();
        world.push("main", &main);
        for number in [7, 8] {
            world.issue(number, "mallory", "Empty input", "# Empty input\n");
        }
        world
    }

    pub(crate) fn id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// From now on its clock is that of the world outside.
    pub(crate) fn goes_live(&mut self) {
        self.live = true;
        self.now = outside();
    }

    /// What its clock shows.
    pub(crate) fn clock(&mut self) -> i64 {
        if self.live {
            self.now = outside();
        }
        self.now
    }

    /// The moment of a change.
    pub(crate) fn tick(&mut self) -> i64 {
        if !self.live {
            self.now += 1;
        }
        self.clock()
    }

    pub(crate) fn person(
        &mut self,
        login: &str,
        kind: &'static str,
        role: Option<(&str, &'static str)>,
    ) {
        let id = self.id();
        let role = role.map(|(role, permits)| (role.to_owned(), permits));
        self.users.insert(login.to_owned(), User { id, kind, role });
    }

    pub(crate) fn push(&mut self, branch: &str, head: &CommitId) {
        self.pushed(branch, head, "dana");
    }

    pub(crate) fn pushed(&mut self, branch: &str, head: &CommitId, who: &str) {
        self.commits.insert(head.to_string());
        self.branches.insert(branch.to_owned(), head.clone());
        let reference = json!({ "ref": format!("refs/heads/{branch}"), "after": head.as_str() });
        self.tell("push", "", who, reference);
        for number in self.pulls_of(branch) {
            self.head_moved(number, head.as_str(), who);
        }
    }

    /// The open pull requests of a branch of its own.
    fn pulls_of(&self, branch: &str) -> Vec<i64> {
        let of = |thread: &Thread| {
            let pull = thread.pull.as_ref();
            thread.open && pull.is_some_and(|pull| pull.from == REPO && pull.branch == branch)
        };
        let all = self.issues.iter().filter(|(_, one)| of(one));
        all.map(|(number, _)| *number).collect()
    }

    /// A pull request has another head: its own ref follows, whichever repository the branch is in.
    pub(crate) fn head_moved(&mut self, number: i64, head: &str, who: &str) {
        self.touch(number);
        self.commits.insert(head.to_owned());
        self.thread(number).pull.as_mut().unwrap().head = head.to_owned();
        self.show_head(number);
        self.tell_of(number, "pull_request", "synchronize", who, Value::Null);
    }

    /// `refs/pull/N/head` of the base repository.
    fn show_head(&self, number: i64) {
        let pull = self.issues[&number].pull.as_ref().unwrap();
        if let Some(git) = &self.git {
            let name = format!("refs/pull/{number}/head");
            crate::git::git(git, &["update-ref", &name, &pull.head]);
        }
    }

    pub(crate) fn unpush(&mut self, branch: &str) {
        self.unpushed(branch, "dana");
    }

    /// As GitHub does: the open pull request of a deleted branch is closed.
    pub(crate) fn unpushed(&mut self, branch: &str, who: &str) {
        self.branches.remove(branch);
        let reference = json!({ "ref": branch, "ref_type": "branch" });
        self.tell("delete", "", who, reference);
        for number in self.pulls_of(branch) {
            self.close(number, who);
        }
    }

    /// Opens an issue under the next number, which it gives.
    pub(crate) fn open_issue(&mut self, author: &str, title: &str, body: &str) -> i64 {
        let number = self.next_number();
        self.issue(number, author, title, body);
        self.tell_of(number, "issues", "opened", author, Value::Null);
        number
    }

    /// Numbers are never given twice.
    fn next_number(&self) -> i64 {
        let used = self.issues.keys().chain(&self.deleted).max();
        used.unwrap_or(&0) + 1
    }

    pub(crate) fn delete_issue(&mut self, number: i64) {
        self.issues.remove(&number);
        self.deleted.insert(number);
        self.comments.retain(|one| one.issue != number);
    }

    /// To a repository that is not ours: it goes with its comments, and GitHub points at where it is now.
    pub(crate) fn transfer(&mut self, number: i64, who: &str) {
        self.tell_of(number, "issues", "transferred", who, Value::Null);
        self.delete_issue(number);
        self.moved.insert(number);
    }

    pub(crate) fn was_moved(&self, number: i64) -> bool {
        self.moved.contains(&number)
    }

    pub(crate) fn was_deleted(&self, number: i64) -> bool {
        self.deleted.contains(&number)
    }

    pub(crate) fn issue(&mut self, number: i64, author: &str, title: &str, body: &str) {
        let (id, now) = (self.id(), self.tick());
        self.issues.insert(
            number,
            Thread {
                id,
                title: title.to_owned(),
                body: body.to_owned(),
                open: true,
                locked: false,
                author: author.to_owned(),
                labels: Vec::new(),
                assignees: Vec::new(),
                created: now,
                updated: now,
                edited: None,
                closed_by: None,
                timeline: Vec::new(),
                pull: None,
            },
        );
    }

    /// Opens a pull request; its number.
    pub(crate) fn pull(
        &mut self,
        author: &str,
        (branch, from, base): (&str, i64, &str),
        (title, body): (&str, &str),
        draft: bool,
    ) -> i64 {
        let number = self.next_number();
        self.issue(number, author, title, body);
        let head = self.branches.get(branch).filter(|_| from == REPO);
        let head = head.map_or_else(|| "e".repeat(40), ToString::to_string);
        self.commits.insert(head.clone());
        self.issues.get_mut(&number).unwrap().pull = Some(PullPart {
            branch: branch.to_owned(),
            from,
            base: base.to_owned(),
            draft,
            head,
            merged: None,
            asked: Vec::new(),
            reviews: Vec::new(),
        });
        if from == REPO {
            self.show_head(number);
        }
        self.tell_of(number, "pull_request", "opened", author, Value::Null);
        number
    }

    pub(crate) fn thread(&mut self, number: i64) -> &mut Thread {
        self.issues.get_mut(&number).unwrap()
    }

    pub(crate) fn touch(&mut self, number: i64) -> i64 {
        let now = self.tick();
        if let Some(thread) = self.issues.get_mut(&number) {
            thread.updated = now;
        }
        now
    }

    pub(crate) fn happened(
        &mut self,
        number: i64,
        actor: &str,
        event: &'static str,
        about: &str,
    ) -> i64 {
        let (id, at) = (self.id(), self.touch(number));
        let (actor, about) = (actor.to_owned(), about.to_owned());
        self.thread(number).timeline.push(Event {
            id,
            event,
            actor,
            at,
            about,
        });
        id
    }

    pub(crate) fn label(&mut self, number: i64, who: &str, label: &str) {
        let labels = &mut self.thread(number).labels;
        if !labels.iter().any(|one| one == label) {
            labels.push(label.to_owned());
            self.happened(number, who, "labeled", label);
            let label = json!({ "label": { "name": label } });
            self.tell_of(number, self.kind(number), "labeled", who, label);
        }
    }

    pub(crate) fn unlabel(&mut self, number: i64, who: &str, label: &str) -> bool {
        let labels = &mut self.thread(number).labels;
        let before = labels.len();
        labels.retain(|one| one != label);
        let changed = labels.len() != before;
        if changed {
            self.happened(number, who, "unlabeled", label);
            let label = json!({ "label": { "name": label } });
            self.tell_of(number, self.kind(number), "unlabeled", who, label);
        }
        changed
    }

    pub(crate) fn assign(&mut self, number: i64, who: &str, assignee: &str) {
        self.thread(number).assignees.push(assignee.to_owned());
        self.happened(number, who, "assigned", assignee);
        self.tell_of(number, self.kind(number), "assigned", who, Value::Null);
    }

    pub(crate) fn unassign(&mut self, number: i64, who: &str, assignee: &str) {
        self.thread(number).assignees.retain(|one| one != assignee);
        self.happened(number, who, "unassigned", assignee);
        self.tell_of(number, self.kind(number), "unassigned", who, Value::Null);
    }

    pub(crate) fn rename(&mut self, number: i64, who: &str, title: &str) {
        title.clone_into(&mut self.thread(number).title);
        self.happened(number, who, "renamed", title);
        self.tell_of(number, self.kind(number), "edited", who, Value::Null);
    }

    pub(crate) fn rewrite(&mut self, number: i64, body: &str) {
        let now = self.touch(number);
        let thread = self.thread(number);
        body.clone_into(&mut thread.body);
        thread.edited = Some(now);
    }

    pub(crate) fn close(&mut self, number: i64, who: &str) {
        let thread = self.thread(number);
        thread.open = false;
        thread.closed_by = Some(who.to_owned());
        self.happened(number, who, "closed", "");
        self.tell_of(number, self.kind(number), "closed", who, Value::Null);
    }

    pub(crate) fn reopen(&mut self, number: i64, who: &str) {
        let thread = self.thread(number);
        thread.open = true;
        thread.closed_by = None;
        self.happened(number, who, "reopened", "");
        self.tell_of(number, self.kind(number), "reopened", who, Value::Null);
    }

    /// A person merges with a merge commit; issues that the text closes are closed by it.
    pub(crate) fn merge(&mut self, number: i64, who: &str) {
        let now = self.touch(number);
        let pull = self.thread(number).pull.as_mut().unwrap();
        pull.merged = Some((who.to_owned(), now));
        let (head, base) = (pull.head.clone(), pull.base.clone());
        let merged = self.git.as_ref().map(|git| merge_commit(git, &head, &base));
        if let Some(merged) = merged {
            self.pushed(&base, &merged, who);
        }
        self.happened(number, who, "merged", "");
        self.close(number, who);
        for closed in closing(&self.issues[&number].body) {
            if self.issues.get(&closed).is_some_and(|one| one.open) {
                self.close(closed, who);
            }
        }
    }

    /// A draft becomes ready, or nothing new.
    pub(crate) fn ready(&mut self, number: i64, who: &str) {
        let pull = self.thread(number).pull.as_mut().unwrap();
        if std::mem::take(&mut pull.draft) {
            self.happened(number, who, "ready_for_review", "");
            self.tell_of(number, "pull_request", "ready_for_review", who, Value::Null);
        }
    }

    /// What stands on a commit by name: state and title, the newest of each.
    pub(crate) fn checks(&self, sha: &str) -> BTreeMap<String, (String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut all = BTreeMap::new();
        for run in self.runs.iter().filter(|run| run.sha == sha) {
            let state = match text(&run.fields["conclusion"]) {
                none if none.is_empty() => text(&run.fields["status"]),
                conclusion => conclusion,
            };
            let title = text(&run.fields["output"]["title"]);
            all.insert(text(&run.fields["name"]), (state, title));
        }
        for one in self.statuses.iter().filter(|one| one.sha == sha) {
            let told = (text(&one.fields["state"]), text(&one.fields["description"]));
            all.insert(text(&one.fields["context"]), told);
        }
        all
    }

    fn kind(&self, number: i64) -> &'static str {
        match self.issues[&number].pull {
            Some(_) => "pull_request",
            None => "issues",
        }
    }

    /// A delivery about an issue or pull request.
    fn tell_of(
        &mut self,
        number: i64,
        event: &'static str,
        action: &str,
        who: &str,
        mut more: Value,
    ) {
        let thread = &self.issues[&number];
        let labels: Vec<Value> = thread
            .labels
            .iter()
            .map(|name| json!({ "id": 1, "name": name }))
            .collect();
        let subject = json!({
            "number": number, "title": thread.title, "body": thread.body, "labels": labels,
            "state": if thread.open { "open" } else { "closed" }, "user": { "login": thread.author },
        });
        if more.is_null() {
            more = json!({});
        }
        more["action"] = action.into();
        let is_pull = thread.pull.is_some();
        let on_thread = matches!(event, "issues" | "issue_comment");
        more[if on_thread { "issue" } else { "pull_request" }] = subject;
        if on_thread && is_pull {
            more["issue"]["pull_request"] = json!({ "url": "https://forge.test/x" });
        }
        self.tell(event, action, who, more);
    }

    /// A delivery, shaped as the published examples of its event.
    fn tell(&mut self, event: &'static str, action: &str, who: &str, more: Value) {
        if self.hook.is_none() {
            return;
        }
        let mut payload = super::hooks::example(event, action);
        let (id, kind) = self
            .users
            .get(who)
            .map_or((10_137, "User"), |user| (user.id, user.kind));
        let (owner, name) = self.name.split_once('/').unwrap();
        let common = json!({
            "repository": { "id": REPO, "name": name, "full_name": self.name, "owner": { "login": owner } },
            "sender": { "login": who, "id": id, "type": kind },
        });
        super::description::lay_over(&mut payload, common);
        super::description::lay_over(&mut payload, more);
        self.outbox.push_back((event, payload));
    }

    pub(crate) fn comment(&mut self, number: i64, who: &str, body: &str) -> i64 {
        let (id, now) = (self.id(), self.touch(number));
        self.comments.push(Comment {
            id,
            issue: number,
            author: who.to_owned(),
            body: body.to_owned(),
            created: now,
            updated: now,
            edited: None,
            hidden: false,
            reactions: Vec::new(),
        });
        self.tell_comment(id, "created", who);
        id
    }

    fn tell_comment(&mut self, id: i64, action: &str, who: &str) {
        let one = self.comments.iter().find(|one| one.id == id).unwrap();
        let (number, author) = (one.issue, one.author.clone());
        let comment =
            json!({ "comment": { "id": id, "body": one.body, "user": { "login": author } } });
        self.tell_of(number, "issue_comment", action, who, comment);
    }

    pub(crate) fn edit(&mut self, comment: i64, body: &str) {
        let now = self.tick();
        let one = self
            .comments
            .iter_mut()
            .find(|one| one.id == comment)
            .unwrap();
        body.clone_into(&mut one.body);
        one.updated = now;
        one.edited = Some(now);
        let (issue, author) = (one.issue, one.author.clone());
        self.touch(issue);
        self.tell_comment(comment, "edited", &author);
    }

    pub(crate) fn review(
        &mut self,
        number: i64,
        by: &str,
        state: &'static str,
        body: &str,
        remarks: &[(&str, i64, &str)],
    ) -> i64 {
        let (id, at) = (self.id(), self.touch(number));
        let remarks = remarks
            .iter()
            .map(|(path, line, text)| {
                self.last_id += 1;
                (self.last_id, (*path).to_owned(), *line, (*text).to_owned())
            })
            .collect();
        let pull = self.thread(number).pull.as_mut().unwrap();
        let commit = pull.head.clone();
        pull.asked.retain(|asked| asked != by);
        pull.reviews.push(Review {
            id,
            by: by.to_owned(),
            state,
            body: body.to_owned(),
            commit,
            at,
            remarks,
        });
        let review = json!({ "review": { "id": id, "body": body, "state": state.to_lowercase() } });
        self.tell_of(number, "pull_request_review", "submitted", by, review);
        id
    }

    /// The repository is called otherwise from now on.
    pub(crate) fn rename_repository(&mut self, name: &str) {
        let old = std::mem::replace(&mut self.name, name.to_owned());
        self.old_names.push(old);
    }

    /// A fault for the next `times` requests of this kind.
    pub(crate) fn fault(
        &mut self,
        method: &'static str,
        at: &'static str,
        kind: Kind,
        times: usize,
    ) {
        self.faults.push_back(Fault {
            method,
            at,
            call: None,
            kind,
            skip: 0,
            times,
        });
    }

    /// A fault for one write, after `skip` others.
    pub(crate) fn skipping(&mut self, skip: usize, kind: Kind) {
        self.faults.push_back(Fault {
            method: "write",
            at: "",
            call: None,
            kind,
            skip,
            times: 1,
        });
    }

    /// A fault for the next `times` requests that are this call, as [`call`] names it.
    pub(crate) fn fault_call(&mut self, call: &str, kind: Kind, times: usize) {
        self.faults.push_back(Fault {
            method: "*",
            at: "",
            call: Some(call.to_owned()),
            kind,
            skip: 0,
            times,
        });
    }

    pub(crate) fn met(&mut self, method: &str, path: &str) -> Option<Kind> {
        let is_token = path.ends_with("/access_tokens");
        let fits = |fault: &Fault| {
            let of = match fault.method {
                "*" => true,
                "write" => method != "GET" && !is_token,
                other => other == method,
            };
            let named = fault
                .call
                .as_ref()
                .is_none_or(|named| *named == call(method, path));
            of && named && path.contains(fault.at)
        };
        let at = self.faults.iter().position(fits)?;
        let fault = &mut self.faults[at];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        let kind = fault.kind.clone();
        if fault.times == 0 {
            self.faults.remove(at);
        }
        Some(kind)
    }

    /// How many requests were writes that were done, by route part.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        let fits = |request: &&String| {
            request
                .split_once(' ')
                .is_some_and(|(how, path)| how == method && path.contains(part))
        };
        self.requests.iter().filter(fits).count()
    }
}

/// A request without what differs from issue to issue: `PATCH …/issues/comments/#`.
pub(crate) fn call(method: &str, path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match words.as_slice() {
        ["repos", ..] => drop(words.drain(..3)),
        ["repositories", ..] => drop(words.drain(..2)),
        [_, name, ..] if name.ends_with(".git") => drop(words.splice(..2, ["git"])),
        _ => words.insert(0, "/"),
    }
    let mut before = "";
    for word in &mut words {
        let is_id = word.bytes().all(|byte| byte.is_ascii_digit()) && !word.is_empty();
        let is_commit = word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id || is_commit || matches!(before, "collaborators" | "users" | "labels") {
            before = "";
            *word = "#";
        } else {
            before = word;
        }
    }
    let path = words.join("/").replace("//", "/");
    match query.split_once("service=") {
        Some((_, service)) => format!("{method} {path}?service={service}"),
        None => format!("{method} {path}"),
    }
}

/// Issues that a text closes when it is merged.
fn closing(text: &str) -> Vec<i64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let closes = |word: &str| {
        let word = word.to_lowercase();
        ["close", "fix", "resolve"]
            .iter()
            .any(|verb| word.starts_with(verb))
    };
    let pairs = words.windows(2).filter(|two| closes(two[0]));
    pairs
        .filter_map(|two| {
            two[1]
                .strip_prefix('#')?
                .trim_end_matches(['.', ','])
                .parse()
                .ok()
        })
        .collect()
}

/// A merge commit of both, as the button makes it.
fn merge_commit(git: &std::path::Path, head: &str, base: &str) -> CommitId {
    let base = format!("refs/heads/{base}");
    let run = |args: &[&str]| crate::git::git(git, args);
    let tree = run(&["merge-tree", "--write-tree", &base, head]);
    let merged = run(&["commit-tree", &tree, "-p", &base, "-p", head, "-m", "merge"]);
    run(&["update-ref", &base, &merged]);
    merged.parse().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "GitHub has a clock of its own, and it is right"
)]
fn outside() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// GitHub's words for a refusal.
pub(crate) fn said(message: &str) -> Value {
    json!({ "message": message, "documentation_url": "https://docs.github.com/rest" })
}
