//! What became of a published result, asked of the forge.

use prentice::domain::event::Event;
use prentice::domain::ident::{TaskId, Time};
use prentice::domain::task::{Pull, Stage, Task};
use prentice::forge::Stands;
use prentice::sweep::look;

use crate::fake_forge::{FakeForge, FakePull};
use crate::worker::new_task;

/// A pull request of ours over whose text a person wrote, and the task that knows its number.
fn rewritten(stands: Stands, stage: impl Fn(&Pull) -> Stage) -> (FakeForge, Task) {
    let forge = FakeForge::default();
    let head = "b".repeat(40).parse().unwrap();
    let mut task = new_task(1).proposed(TaskId(1), "agent/1".to_owned(), Time(0));
    let pull = Pull {
        number: 2,
        location: String::new(),
        head,
    };
    {
        let mut world = forge.world();
        world.refs.insert(task.branch.clone(), pull.head.clone());
        world.pulls.push(FakePull {
            number: pull.number,
            branch: task.branch.clone(),
            title: "mine".to_owned(),
            body: "all mine".to_owned(),
            draft: false,
            stands,
        });
    }
    task.stage = stage(&pull);
    task.pull = Some(pull);
    (forge, task)
}

#[tokio::test]
async fn merging_and_closing_are_heard_in_every_stage_by_the_number_of_the_pull_request() {
    let by = "dana".to_owned();
    let in_review = |pull: &Pull| Stage::InReview {
        head: pull.head.clone(),
        checking: None,
        closing: None,
    };
    let working = |_: &Pull| Stage::Publishing { revision: 2 };
    for stage in [&in_review as &dyn Fn(&Pull) -> Stage, &working] {
        for (stands, expected) in [
            (Stands::Open, None),
            (Stands::Closed, Some(Event::Closed { by: by.clone() })),
            (Stands::Merged, Some(Event::Merged { by: by.clone() })),
        ] {
            let (forge, task) = rewritten(stands, stage);
            let event = look(&task, &forge, &by, &[]).await.unwrap();
            assert_eq!(event, expected, "{:?}", task.stage);
        }
    }
}

#[tokio::test]
async fn while_we_publish_the_branch_is_ours_to_move() {
    let (forge, task) = rewritten(Stands::Open, |_| Stage::Publishing { revision: 2 });
    for head in [Some("c".repeat(40).parse().unwrap()), None] {
        {
            let refs = &mut forge.world().refs;
            refs.remove(&task.branch);
            refs.extend(head.map(|head| (task.branch.clone(), head)));
        }
        assert_eq!(look(&task, &forge, "dana", &[]).await.unwrap(), None);
    }
}
