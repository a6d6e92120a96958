//! What is true on the fake GitHub, and what people do there.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

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
    /// These fields are missing in the answer.
    Without(&'static [&'static str]),
}

pub(crate) struct Fault {
    pub(crate) method: &'static str,
    /// Part of the path.
    pub(crate) at: &'static str,
    pub(crate) kind: Kind,
    /// How many that fit are let through first.
    pub(crate) skip: usize,
    /// How many requests it meets.
    pub(crate) times: usize,
}

pub(crate) struct World {
    /// Seconds since 1970; one more with each write.
    pub(crate) now: i64,
    last_id: i64,
    pub(crate) name: String,
    pub(crate) old_names: Vec<String>,
    pub(crate) archived: bool,
    /// Drafts cost money in some repositories.
    pub(crate) drafts: bool,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) permissions: BTreeMap<String, String>,
    pub(crate) suspended: bool,
    pub(crate) grants: HashMap<String, Grant>,
    pub(crate) issues: BTreeMap<i64, Thread>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) runs: Vec<Run>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) branches: BTreeMap<String, CommitId>,
    pub(crate) commits: BTreeSet<String>,
    pub(crate) deliveries: Vec<Delivery>,
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
            name: "acme/widget".to_owned(),
            old_names: Vec::new(),
            archived: false,
            drafts: true,
            users: BTreeMap::new(),
            permissions: BTreeMap::new(),
            suspended: false,
            grants: HashMap::new(),
            issues: BTreeMap::new(),
            comments: Vec::new(),
            runs: Vec::new(),
            statuses: Vec::new(),
            branches: BTreeMap::new(),
            commits: BTreeSet::new(),
            deliveries: Vec::new(),
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

    /// The moment of a change.
    pub(crate) fn tick(&mut self) -> i64 {
        self.now += 1;
        self.now
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
        self.commits.insert(head.to_string());
        self.branches.insert(branch.to_owned(), head.clone());
        for thread in self.issues.values_mut() {
            if let Some(pull) = &mut thread.pull
                && pull.from == REPO
                && pull.branch == branch
                && thread.open
            {
                pull.head = head.to_string();
            }
        }
    }

    /// As GitHub does: the open pull request of a deleted branch is closed.
    pub(crate) fn unpush(&mut self, branch: &str) {
        self.branches.remove(branch);
        let of = |thread: &Thread| {
            let pull = thread.pull.as_ref();
            thread.open && pull.is_some_and(|pull| pull.from == REPO && pull.branch == branch)
        };
        let orphans: Vec<i64> = self
            .issues
            .iter()
            .filter(|(_, one)| of(one))
            .map(|(number, _)| *number)
            .collect();
        for number in orphans {
            self.close(number, "dana");
        }
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
        let number = self.issues.keys().last().unwrap_or(&0) + 1;
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
        }
    }

    pub(crate) fn unlabel(&mut self, number: i64, who: &str, label: &str) -> bool {
        let labels = &mut self.thread(number).labels;
        let before = labels.len();
        labels.retain(|one| one != label);
        let changed = labels.len() != before;
        if changed {
            self.happened(number, who, "unlabeled", label);
        }
        changed
    }

    pub(crate) fn assign(&mut self, number: i64, who: &str, assignee: &str) {
        self.thread(number).assignees.push(assignee.to_owned());
        self.happened(number, who, "assigned", assignee);
    }

    pub(crate) fn rename(&mut self, number: i64, who: &str, title: &str) {
        title.clone_into(&mut self.thread(number).title);
        self.happened(number, who, "renamed", title);
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
    }

    pub(crate) fn merge(&mut self, number: i64, who: &str) {
        let now = self.touch(number);
        let pull = self.thread(number).pull.as_mut().unwrap();
        pull.merged = Some((who.to_owned(), now));
        self.happened(number, who, "merged", "");
        self.close(number, who);
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
        id
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
        let issue = one.issue;
        self.touch(issue);
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
            kind,
            skip,
            times: 1,
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
            of && path.contains(fault.at)
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

/// GitHub's words for a refusal.
pub(crate) fn said(message: &str) -> Value {
    json!({ "message": message, "documentation_url": "https://docs.github.com/rest" })
}
