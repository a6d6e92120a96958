//! Policy: who may do what. A refusal is data that explains itself.

use serde::{Deserialize, Serialize};

use super::command::{self, Command, Need, Place, StageWord, Verb};
use super::settings::Settings;

/// What a forge lets an account do in a repository, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Nothing.
    None,
    /// See it.
    Read,
    /// Sort issues.
    Triage,
    /// Push.
    Write,
    /// Manage without owning.
    Maintain,
    /// Everything.
    Admin,
}

/// What kind of account acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// The forge says that it is a person.
    Person,
    /// The forge says that it is a program.
    Bot,
    /// The forge does not say; `[trigger] ignore_users` names those that are programs.
    Unknown,
}

/// Who did something, with what the forge said of them at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// The account's name, for people; names can change hands.
    pub login: String,
    /// The forge's number of the account.
    pub id: Option<i64>,
    /// What kind of account.
    pub kind: ActorKind,
    /// What it may do, `None` = could not be looked up, which refuses.
    pub right: Option<Right>,
}

impl Actor {
    /// The user of this machine: the repository is theirs.
    #[must_use]
    pub fn local(login: impl Into<String>) -> Self {
        Self {
            login: login.into(),
            id: None,
            kind: ActorKind::Person,
            right: Some(Right::Admin),
        }
    }

    /// Whether both are the same account: by number where both have one, else by name.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self.id, other.id) {
            (Some(one), Some(two)) => one == two,
            _ => self.login.eq_ignore_ascii_case(&other.login),
        }
    }
}

/// Whether whoever started a task may approve its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfApproval {
    /// Only where nobody else could.
    Auto,
    /// Yes.
    Yes,
    /// No.
    No,
}

/// What the settings and the task say about who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rules {
    /// `[trigger] allow`.
    pub trigger_allow: Right,
    /// `[trigger] allow_users`: logins that may start whatever their right.
    pub allow_users: Vec<String>,
    /// `[trigger] ignore_users`: logins that are programs.
    pub ignore_users: Vec<String>,
    /// `[review] approve_min`.
    pub approve_min: Right,
    /// `[review] requester_may_approve`.
    pub requester_may_approve: SelfApproval,
    /// Whether someone other than the requester could approve.
    pub others_may_approve: bool,
    /// Whose permitted act started the task, `None` before one is started.
    pub requester: Option<Actor>,
}

impl Rules {
    /// The rules of a repository, by its settings and the task, if there is one.
    ///
    /// `others_may_approve`: whether someone other than the requester is known who could.
    #[must_use]
    pub fn of(settings: &Settings, requester: Option<Actor>, others_may_approve: bool) -> Self {
        Self {
            trigger_allow: settings.trigger.allow,
            allow_users: settings.trigger.allow_users.clone(),
            ignore_users: settings.trigger.ignore_users.clone(),
            approve_min: settings.review.approve_min,
            requester_may_approve: settings.review.requester_may_approve,
            others_may_approve,
            requester,
        }
    }

    /// The rules on one's own machine: its user may do everything.
    #[must_use]
    pub fn local(user: Actor) -> Self {
        Self {
            requester_may_approve: SelfApproval::Yes,
            requester: Some(user),
            ..Self::default()
        }
    }
}

impl Default for Rules {
    /// The built-in values, before anyone asked for anything.
    fn default() -> Self {
        Self {
            trigger_allow: Right::Triage,
            allow_users: Vec::new(),
            ignore_users: Vec::new(),
            approve_min: Right::Write,
            requester_may_approve: SelfApproval::Auto,
            others_may_approve: true,
            requester: None,
        }
    }
}

/// An act that is permitted. Only [`permit`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    right: Right,
    own_request: bool,
}

impl Permit {
    /// The right that was held at that moment.
    #[must_use]
    pub fn right(&self) -> Right {
        self.right
    }

    /// Whether the requester approves what they asked for; shown in the pull request.
    #[must_use]
    pub fn own_request(&self) -> bool {
        self.own_request
    }
}

/// Why an act is not permitted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "refused")]
pub enum Refusal {
    /// The actor is a program.
    Bot,
    /// The actor's right could not be looked up.
    RightUnknown,
    /// The actor may do too little.
    TooLittle {
        /// What was asked.
        verb: Verb,
        /// The least that is needed.
        needed: Right,
        /// What the actor may.
        held: Right,
    },
    /// The requester may not approve their own request.
    OwnRequest,
    /// The verb works elsewhere.
    WrongPlace {
        /// What was asked.
        verb: Verb,
        /// Where it was asked.
        place: Place,
    },
    /// This build does not have the verb.
    NotHere {
        /// What was asked.
        verb: Verb,
    },
}

/// How a refusal is told, so that strangers cannot make the bot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Telling {
    /// Not at all.
    Silence,
    /// By a reaction alone.
    Reaction,
    /// In words, once in a thread.
    Reply,
}

impl Refusal {
    /// How it is told.
    #[must_use]
    pub fn telling(&self) -> Telling {
        match self {
            Self::Bot => Telling::Silence,
            // It may be a stranger.
            Self::RightUnknown => Telling::Reaction,
            Self::TooLittle { held, .. } if *held < Right::Triage => Telling::Reaction,
            Self::TooLittle { .. }
            | Self::OwnRequest
            | Self::WrongPlace { .. }
            | Self::NotHere { .. } => Telling::Reply,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bot => f.write_str("Programs neither start nor steer tasks."),
            Self::RightUnknown => {
                f.write_str("What you may do here could not be looked up, so nothing was done; try again later.")
            }
            Self::TooLittle { verb, needed, held } => write!(
                f,
                "`{}` needs {} access here; you have {}. Ask someone who has it.",
                verb.row().name,
                needed.word(),
                held.word()
            ),
            Self::OwnRequest => f.write_str(
                "You asked for this task, so someone else has to approve it. Where nobody else can, and the forge does \
                 not tell so, set `[review] requester_may_approve = true`.",
            ),
            Self::WrongPlace { verb, place } => write!(
                f,
                "`{}` works on the {}, not on the {}.",
                verb.row().name,
                match place {
                    Place::Issue => "pull request",
                    Place::Pull => "issue",
                },
                match place {
                    Place::Issue => "issue",
                    Place::Pull => "pull request",
                }
            ),
            Self::NotHere { verb } => write!(f, "`{}` is not in this version.", verb.row().name),
        }
    }
}

impl Right {
    /// As people read it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }
}

/// Whether this actor may give this command, here, while the task is in this stage.
///
/// Says nothing about whether the command makes sense now; `decide` does.
pub fn permit(
    actor: &Actor,
    command: &Command,
    place: Place,
    stage: StageWord,
    rules: &Rules,
) -> Result<Permit, Refusal> {
    let verb = command.verb();
    let row = verb.row();
    let named = |list: &[String]| {
        list.iter()
            .any(|login| login.eq_ignore_ascii_case(&actor.login))
    };
    let is_bot =
        actor.kind == ActorKind::Bot || actor.login.to_ascii_lowercase().ends_with("[bot]");
    if is_bot || named(&rules.ignore_users) {
        return Err(Refusal::Bot);
    }
    let held = actor.right.ok_or(Refusal::RightUnknown)?;
    let is_requester = rules
        .requester
        .as_ref()
        .is_some_and(|requester| requester.is(actor));
    let accepts_text = stage == StageWord::Proposed;
    // A person named in the settings may start; the forge still has to let them see the repository.
    let trigger = match named(&rules.allow_users) {
        true => Right::Read,
        false => rules.trigger_allow,
    };
    let larger_budget = matches!(
        command,
        Command::Retry {
            budget: Some(_),
            ..
        }
    );
    let needed = match row.need {
        Need::Read => Right::Read,
        Need::Trigger => trigger,
        Need::Approve if accepts_text => trigger,
        Need::Approve => rules.approve_min,
        Need::Reject if place == Place::Pull => Right::Write,
        Need::TriageOrRequester if is_requester => Right::Read,
        Need::Retry if larger_budget => rules.approve_min,
        Need::Reject | Need::Retry | Need::Triage | Need::TriageOrRequester => Right::Triage,
        Need::Write => Right::Write,
    };
    if held < needed {
        return Err(Refusal::TooLittle { verb, needed, held });
    }
    if !row.available {
        return Err(Refusal::NotHere { verb });
    }
    if !row.places.contains(&place) {
        return Err(Refusal::WrongPlace { verb, place });
    }
    let own_request = is_requester && row.need == Need::Approve && !accepts_text;
    let may_own = match rules.requester_may_approve {
        SelfApproval::Yes => true,
        SelfApproval::No => false,
        SelfApproval::Auto => !rules.others_may_approve,
    };
    if own_request && !may_own {
        return Err(Refusal::OwnRequest);
    }
    Ok(Permit {
        right: held,
        own_request,
    })
}

/// The verbs that this actor can use here now: what help and error replies list.
#[must_use]
pub fn usable(actor: &Actor, place: Place, stage: StageWord, rules: &Rules) -> Vec<Verb> {
    command::valid(place, stage)
        .into_iter()
        .filter(|verb| permit(actor, &plainest(*verb), place, stage, rules).is_ok())
        .collect()
}

/// A command of this verb that needs the least.
fn plainest(verb: Verb) -> Command {
    let text = String::new();
    match verb {
        Verb::Help | Verb::Plan | Verb::Rebase | Verb::Finish | Verb::Undo => {
            Command::Help { about: None }
        }
        Verb::Status => Command::Status,
        Verb::Run => Command::Run,
        Verb::Approve => Command::Approve { target: None },
        Verb::Reject => Command::Reject { reason: text },
        Verb::Verify => Command::Verify,
        Verb::Fix => Command::Fix { text },
        Verb::Answer => Command::Answer { text },
        Verb::Retry => Command::Retry {
            budget: None,
            fresh: false,
        },
        Verb::Stop => Command::Stop,
        Verb::TakeOver => Command::TakeOver,
        Verb::HandBack => Command::HandBack,
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::Grant;
    use super::*;

    fn person(login: &str, right: Right) -> Actor {
        Actor {
            login: login.to_owned(),
            id: None,
            kind: ActorKind::Person,
            right: Some(right),
        }
    }

    fn approve() -> Command {
        Command::Approve { target: None }
    }

    fn asked(actor: &Actor, command: &Command, rules: &Rules) -> Result<Permit, Refusal> {
        permit(
            actor,
            command,
            Place::Issue,
            StageWord::NeedsApproval,
            rules,
        )
    }

    /// The least right that lets a command through.
    fn least(command: &Command, place: Place, stage: StageWord) -> Option<Right> {
        use Right::{Admin, Maintain, None, Read, Triage, Write};
        [None, Read, Triage, Write, Maintain, Admin]
            .into_iter()
            .find(|right| {
                permit(
                    &person("x", *right),
                    command,
                    place,
                    stage,
                    &Rules::default(),
                )
                .is_ok()
            })
    }

    #[test]
    fn each_verb_needs_its_right_and_not_less() {
        let text = || "x".to_owned();
        let (issue, pull) = (Place::Issue, Place::Pull);
        for (command, place, expected) in [
            (Command::Help { about: None }, issue, Right::Read),
            (Command::Status, issue, Right::Read),
            (Command::Run, issue, Right::Triage),
            (approve(), issue, Right::Write),
            (Command::Reject { reason: text() }, issue, Right::Triage),
            (Command::Reject { reason: text() }, pull, Right::Write),
            (Command::Answer { text: text() }, issue, Right::Triage),
            (Command::Stop, pull, Right::Triage),
            (
                Command::Retry {
                    budget: None,
                    fresh: true,
                },
                issue,
                Right::Triage,
            ),
            (
                Command::Retry {
                    budget: Some(Grant::Times(2)),
                    fresh: false,
                },
                issue,
                Right::Write,
            ),
            (Command::Fix { text: text() }, pull, Right::Write),
            (Command::Verify, pull, Right::Write),
        ] {
            assert_eq!(
                least(&command, place, StageWord::NeedsReview),
                Some(expected),
                "{command:?}"
            );
        }
        assert_eq!(
            least(&approve(), issue, StageWord::Proposed),
            Some(Right::Triage)
        );
    }

    #[test]
    fn a_bot_is_refused_in_silence_whatever_its_right() {
        let mut bot = person("x", Right::Admin);
        bot.kind = ActorKind::Bot;
        let named = person("Renovate[bot]", Right::Admin);
        let listed = person("Robot", Right::Admin);
        let rules = Rules {
            ignore_users: vec!["robot".to_owned()],
            ..Rules::default()
        };
        for actor in [bot, named, listed] {
            let refusal = asked(&actor, &Command::Status, &rules).unwrap_err();
            assert_eq!(
                (refusal.telling(), refusal),
                (Telling::Silence, Refusal::Bot),
                "{actor:?}"
            );
        }
    }

    #[test]
    fn a_right_that_could_not_be_looked_up_refuses() {
        let mut actor = person("x", Right::Admin);
        actor.right = None;
        let refusal = asked(&actor, &Command::Help { about: None }, &Rules::default()).unwrap_err();
        assert_eq!(
            (refusal.telling(), refusal),
            (Telling::Reaction, Refusal::RightUnknown)
        );
    }

    #[test]
    fn a_stranger_gets_a_reaction_and_a_collaborator_a_reply() {
        let telling = |right| {
            asked(&person("x", right), &approve(), &Rules::default())
                .unwrap_err()
                .telling()
        };
        assert_eq!(telling(Right::None), Telling::Reaction);
        assert_eq!(telling(Right::Read), Telling::Reaction);
        assert_eq!(telling(Right::Triage), Telling::Reply);
    }

    #[test]
    fn the_requester_may_answer_and_stop_without_triage() {
        let dana = person("dana", Right::Read);
        let rules = Rules {
            requester: Some(dana.clone()),
            ..Rules::default()
        };
        assert!(asked(&dana, &Command::Stop, &rules).is_ok());
        assert!(
            asked(
                &dana,
                &Command::Answer {
                    text: "B".to_owned()
                },
                &rules
            )
            .is_ok()
        );
        assert!(
            asked(
                &dana,
                &Command::Retry {
                    budget: None,
                    fresh: false
                },
                &rules
            )
            .is_err()
        );
        assert!(asked(&person("eve", Right::Read), &Command::Stop, &rules).is_err());
    }

    #[test]
    fn an_account_that_took_over_a_name_is_someone_else() {
        let old = Actor {
            id: Some(1),
            ..person("dana", Right::Read)
        };
        let new = Actor {
            id: Some(2),
            ..person("dana", Right::Read)
        };
        let rules = Rules {
            requester: Some(old.clone()),
            ..Rules::default()
        };
        assert!(asked(&new, &Command::Stop, &rules).is_err());
        assert!(
            asked(
                &Actor {
                    login: "renamed".to_owned(),
                    ..old
                },
                &Command::Stop,
                &rules
            )
            .is_ok()
        );
    }

    #[test]
    fn the_requester_approves_their_own_request_only_where_the_rules_say_so() {
        let dana = person("Dana", Right::Admin);
        let rules = |setting, others| Rules {
            requester: Some(person("dana", Right::Admin)),
            requester_may_approve: setting,
            others_may_approve: others,
            ..Rules::default()
        };
        let own = |setting, others| {
            asked(&dana, &approve(), &rules(setting, others)).map(|permit| permit.own_request())
        };
        assert_eq!(own(SelfApproval::Auto, true), Err(Refusal::OwnRequest));
        assert_eq!(own(SelfApproval::Auto, false), Ok(true));
        assert_eq!(own(SelfApproval::No, false), Err(Refusal::OwnRequest));
        assert_eq!(own(SelfApproval::Yes, true), Ok(true));
        let lee = asked(
            &person("lee", Right::Write),
            &approve(),
            &rules(SelfApproval::No, true),
        );
        assert_eq!(
            lee.map(|permit| (permit.right(), permit.own_request())),
            Ok((Right::Write, false))
        );
    }

    #[test]
    fn a_named_user_may_start_but_not_approve() {
        let rules = Rules {
            allow_users: vec!["Sam".to_owned()],
            ..Rules::default()
        };
        let sam = person("sam", Right::Read);
        assert!(asked(&sam, &Command::Run, &rules).is_ok());
        assert!(asked(&sam, &approve(), &rules).is_err());
        assert!(asked(&person("sam", Right::None), &Command::Run, &rules).is_err());
    }

    #[test]
    fn a_verb_in_the_wrong_place_is_refused() {
        let refusal = asked(
            &person("x", Right::Admin),
            &Command::Verify,
            &Rules::default(),
        );
        assert_eq!(
            refusal,
            Err(Refusal::WrongPlace {
                verb: Verb::Verify,
                place: Place::Issue
            })
        );
    }

    #[test]
    fn the_user_of_this_machine_may_do_everything() {
        let user = Actor::local("me");
        let rules = Rules::local(user.clone());
        assert!(asked(&user, &approve(), &rules).is_ok());
        assert!(
            asked(
                &user,
                &Command::Reject {
                    reason: String::new()
                },
                &rules
            )
            .is_ok()
        );
    }

    #[test]
    fn the_rules_are_those_of_the_settings() {
        let mut settings = Settings::default();
        assert_eq!(Rules::of(&settings, None, true), Rules::default());
        settings.trigger.allow = Right::Maintain;
        settings.trigger.allow_users = vec!["sam".to_owned()];
        settings.trigger.ignore_users = vec!["robot".to_owned()];
        settings.review.approve_min = Right::Admin;
        settings.review.requester_may_approve = SelfApproval::No;
        let rules = Rules::of(&settings, Some(person("dana", Right::Admin)), false);
        let may = |login: &str, right, command: &Command| {
            asked(&person(login, right), command, &rules).is_ok()
        };
        assert!(may("x", Right::Maintain, &Command::Run) && !may("x", Right::Write, &Command::Run));
        assert!(may("sam", Right::Read, &Command::Run));
        assert!(!may("robot", Right::Admin, &Command::Status));
        assert!(may("x", Right::Admin, &approve()) && !may("x", Right::Maintain, &approve()));
        assert!(!may("dana", Right::Admin, &approve()));
    }

    #[test]
    fn what_is_usable_depends_on_who_asks() {
        let names = |right| -> Vec<&str> {
            usable(
                &person("x", right),
                Place::Issue,
                StageWord::NeedsApproval,
                &Rules::default(),
            )
            .into_iter()
            .map(|verb| verb.row().name)
            .collect()
        };
        assert_eq!(names(Right::None), [""; 0]);
        assert_eq!(names(Right::Read), ["help", "status"]);
        assert_eq!(names(Right::Triage), ["help", "status", "reject"]);
        assert_eq!(names(Right::Write), ["help", "status", "approve", "reject"]);
    }

    #[test]
    fn every_refusal_has_one_wording() {
        let verb = Verb::Approve;
        let all = [
            Refusal::Bot,
            Refusal::RightUnknown,
            Refusal::TooLittle {
                verb,
                needed: Right::Write,
                held: Right::Triage,
            },
            Refusal::OwnRequest,
            Refusal::WrongPlace {
                verb: Verb::Fix,
                place: Place::Issue,
            },
            Refusal::NotHere { verb: Verb::Undo },
        ]
        .map(|refusal| refusal.to_string())
        .join("\n");
        insta::assert_snapshot!(all, @"
        Programs neither start nor steer tasks.
        What you may do here could not be looked up, so nothing was done; try again later.
        `approve` needs write access here; you have triage. Ask someone who has it.
        You asked for this task, so someone else has to approve it. Where nobody else can, and the forge does not tell so, set `[review] requester_may_approve = true`.
        `fix` works on the pull request, not on the issue.
        `undo` is not in this version.
        ");
    }
}
