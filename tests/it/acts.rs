//! Acts of people: the whole table of who asks for a task, by which way, with what standing there.

use std::fmt::Write as _;

use prentice::domain::act::{Asked, Ignored, Path, Standing, Start, Words, start, withdraws};
use prentice::domain::command::StageWord;
use prentice::domain::policy::{Actor, ActorKind, Right, Rules};

fn actor(login: &str, kind: ActorKind, right: Option<Right>) -> Actor {
    Actor {
        login: login.to_owned(),
        id: None,
        kind,
        right,
    }
}

fn people() -> Vec<(&'static str, Actor)> {
    let person = |right| actor("x", ActorKind::Person, right);
    vec![
        ("right unknown", person(None)),
        ("none", person(Some(Right::None))),
        ("read", person(Some(Right::Read))),
        ("triage", person(Some(Right::Triage))),
        ("write", person(Some(Right::Write))),
        ("maintain", person(Some(Right::Maintain))),
        ("admin", person(Some(Right::Admin))),
        (
            "named in allow_users",
            actor("friend", ActorKind::Person, Some(Right::Read)),
        ),
        (
            "a bot",
            actor("ci[bot]", ActorKind::Unknown, Some(Right::Admin)),
        ),
        (
            "told as a bot",
            actor("ci", ActorKind::Bot, Some(Right::Admin)),
        ),
        (
            "named in ignore_users",
            actor("renovate", ActorKind::Person, Some(Right::Admin)),
        ),
    ]
}

fn rules() -> Rules {
    Rules {
        allow_users: vec!["friend".to_owned()],
        ignore_users: vec!["renovate".to_owned()],
        ..Rules::default()
    }
}

fn word(start: &Start) -> String {
    match start {
        Start::Nothing(why) => format!("nothing ({})", why.word()),
        Start::Accept => "ACCEPT".to_owned(),
        Start::Propose => "propose".to_owned(),
        Start::AcceptProposed => "ACCEPT THE PROPOSED".to_owned(),
        Start::ProposeAgain => "propose the new text".to_owned(),
        Start::Refuse(why) => format!("refuse ({:?})", why.telling()),
    }
}

#[test]
fn every_actor_by_every_way_comes_to_what_the_rules_say() {
    let mut table = String::new();
    for (standing_word, standing) in [
        ("nothing stands there", Standing::Nothing),
        (
            "the same text is proposed",
            Standing::Proposed {
                same: true,
                shown: true,
            },
        ),
        (
            "the same text is proposed, and was not shown before the act",
            Standing::Proposed {
                same: true,
                shown: false,
            },
        ),
        (
            "another text is proposed",
            Standing::Proposed {
                same: false,
                shown: true,
            },
        ),
        ("a task lives", Standing::Live(StageWord::Running)),
    ] {
        let _ = writeln!(table, "# {standing_word}");
        for (name, actor) in people() {
            for (path_word, path) in [
                ("label", Path::Label),
                ("assignment", Path::Assignment),
                ("comment", Path::Command),
            ] {
                let mut cells = Vec::new();
                for words in [Words::OfOneWhoMay, Words::Proven, Words::Unproven] {
                    let asked = Asked {
                        path,
                        actor: &actor,
                        ours: false,
                        old: false,
                    };
                    cells.push(word(&start(asked, standing, words, &rules())));
                }
                cells.dedup();
                let _ = writeln!(
                    table,
                    "{name} · {path_word}: {}",
                    cells.join(" | unproven: ")
                );
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn our_own_acts_and_those_from_before_our_first_look_have_no_effect() {
    let admin = actor("x", ActorKind::Person, Some(Right::Admin));
    for path in [Path::Label, Path::Assignment, Path::Command] {
        for (ours, old, why) in [
            (true, false, Ignored::Ours),
            (false, true, Ignored::Old),
            (true, true, Ignored::Ours),
        ] {
            let asked = Asked {
                path,
                actor: &admin,
                ours,
                old,
            };
            let came = start(asked, Standing::Nothing, Words::OfOneWhoMay, &rules());
            assert_eq!(came, Start::Nothing(why));
        }
    }
}

#[test]
fn a_request_is_withdrawn_by_who_may_stop_a_task_and_by_nobody_else() {
    for (name, actor) in people() {
        let may = withdraws(&actor, false, false, &rules()).is_ok();
        let expected = ["triage", "write", "maintain", "admin"].contains(&name);
        assert_eq!(may, expected, "{name}");
        assert_eq!(withdraws(&actor, true, false, &rules()), Err(Ignored::Ours));
        assert_eq!(withdraws(&actor, false, true, &rules()), Err(Ignored::Old));
    }
}
