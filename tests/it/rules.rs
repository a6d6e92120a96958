//! Every sentence of "Rules of starting and ending" (experience §2.2), with the brief's paragraph above it and the
//! strangers' property of §7, and the test that shows it. That each test exists is itself a test.
//!
//! | Sentence | Test |
//! |---|---|
//! | A start is one label or assignment entry, or `run`, by a person who may | `served::acts::who_may_starts_by_label_comment_or_assignment_and_nobody_else_does` |
//! | It is consumed once; acts are unique whoever tells of them; a delivery only wakes | `served::starting::a_start_is_consumed_once_whoever_tells_of_it_and_a_delivery_only_wakes` |
//! | An opening with the label counts through its label entry | `served::starting::an_opening_with_the_label_counts_through_its_label_entry` |
//! | Entries before the first sight are consumed without effect; the label's mere presence starts nothing | `served::starting::entries_before_the_first_sight_have_no_effect_and_mere_presence_starts_nothing` |
//! | Entries while a task lives are consumed without effect; the bot's own label events are ignored | `served::starting::a_label_while_a_task_lives_has_no_effect_and_ours_are_ignored` |
//! | Whoever acts with our account is told so | `served::github::doctor::who_works_with_our_account_is_told_so_on_the_issue_and_by_doctor` |
//! | Every actor by every way, with every standing and proof | `acts::every_actor_by_every_way_comes_to_what_the_rules_say` |
//! | The same on a real forge | `served::people::every_right_by_every_way_comes_to_what_the_table_says` |
//! | The bot removes `agent` at Proposed; a permitted label accepts the shown text | `served::starting::the_label_is_taken_off_at_proposed_and_a_label_accepts_what_is_shown` |
//! | It removes `agent` at every final state | `served::roads::a_label_becomes_a_pull_request_with_evidence_that_a_person_merges` |
//! | It removes its assignment at every final state | `served::acts::who_may_starts_by_label_comment_or_assignment_and_nobody_else_does` |
//! | What could not be removed starts nothing | `served::github::people::a_label_that_could_not_be_taken_off_at_the_end_starts_nothing_more` |
//! | Labels on pull requests start no task | `served::starting::a_label_on_a_pull_request_starts_no_task` |
//! | Withdrawal is an unlabel or unassign entry by a permitted person, never absence | `served::starting::a_withdrawal_is_an_entry_by_a_permitted_person_and_never_absence` |
//! | Who may withdraw | `acts::a_request_is_withdrawn_by_who_may_stop_a_task_and_by_nobody_else` |
//! | One table for hooks, polling and sweep | `store::acts::an_act_is_taken_up_until_it_is_settled_and_never_again` |
//! | Words of people without rights run only as the signed delivery has them | `served::acts::a_stranger_s_words_run_only_as_the_signed_delivery_has_them` |
//! | A look before that delivery waits for it | `served::acts::a_look_before_the_label_s_own_delivery_waits_for_it` |
//! | A delivery of another user, or with other words, proves nothing | `served::acts::a_proof_that_does_not_come_leaves_the_words_to_whoever_accepts_them` |
//! | nor does one more than ten seconds from the entry | `served::acts::a_label_delivery_ten_seconds_after_the_act_proves_nothing` |
//! | Of several deliveries at the time of the act, each must have the words | `served::acts::of_several_label_deliveries_at_the_time_of_the_act_all_must_have_the_words` |
//! | Without proof Proposed with the text that would run; `approve` accepts the stored text of the shown digest | `served::acts::without_deliveries_a_stranger_s_words_wait_until_somebody_accepts_their_digest` |
//! | If the issue differs by then, Proposed again | `served::starting::a_proposed_text_that_differs_by_then_is_proposed_again` |
//! | A command runs only if never edited | `served::acts::commands_are_answered_as_the_experience_says` |
//! | and, by hook, equal to the payload | `served::starting::a_command_that_differs_from_its_delivery_does_not_run` |
//! | A review is a round, or an approval, only as right and commit allow; only inline comments of that review enter | `served::ending::a_review_counts_only_as_the_right_of_its_author_and_its_commit_allow` |
//! | Commands inside reviews do not run; one reply says where they do | `served::ending::a_command_in_a_review_does_not_run_and_one_reply_says_where_it_does` |
//! | A person's "ready" click stands; `agent:*` labels only on the issue | `served::ending::a_person_s_ready_click_stands_in_later_rounds_and_labels_are_on_the_issue_alone` |
//! | Foreign commit: their head, checks again, next round only when asked, from their head; a branch is deleted only while its head is ours | `served::ending::a_person_s_commit_is_judged_anew_and_never_overwritten` |
//! | Closed by a person: rejected after `close_grace` | `served::roads::a_review_that_requests_changes_is_one_round_and_closing_leaves_nothing` |
//! | Closed by a person: the forge let him, no look-up | `served::github::hears::closed_by_a_person_it_is_rejected_and_no_right_is_looked_up` |
//! | Closed by a bot: failed/forge, no automatic retry, nothing deleted | `served::ending::closed_by_a_bot_it_fails_and_nothing_is_deleted` |
//! | Reopened: needs-review | `served::ending::reopened_within_its_grace_it_is_in_review_again` |
//! | Reopened while the server or the forge was away: needs-review | `served::github::away::closed_and_reopened_within_its_grace_while_away_it_is_in_review_again` |
//! | Label removed or issue closed in review: unchanged; before it: stopped | `served::ending::in_review_neither_label_nor_closed_issue_change_anything_and_before_it_they_stop` |
//! | Archived or right lost: failed/forge, shown in `tasks` | `served::ending::in_an_archived_repository_or_without_its_right_it_fails_and_tasks_says_why` |
//! | Renamed or transferred within reach: followed by id | `served::ending::a_renamed_or_transferred_repository_is_followed_by_its_id` |
//! | A later task on the same issue has a branch of its own | `served::ending::a_later_task_on_the_same_issue_has_a_branch_of_its_own` |
//! | A status comment deleted or edited is put right | `served::ending::a_status_comment_that_was_deleted_or_edited_is_put_right_when_something_changes` |
//! | `requester_may_approve = "auto"`: only where nobody else could | `served::ending::the_requester_approves_where_nobody_else_could_and_only_there` |
//! | Title, body and trusted comments are stored with a digest; others are counted | `served::starting::trusted_comments_are_part_of_the_brief_and_others_are_counted` |
//! | What anyone says after the act is no part of it (`comments_from = "anyone"`) | `served::starting::what_anyone_says_after_the_act_is_no_part_of_what_was_accepted` |
//! | Edits before the start: proposed again; the label removed while it runs: stopped | `served::starting::an_edit_before_the_start_is_proposed_again_and_a_label_taken_off_stops_a_run` |
//! | Edits after the start change no run, and are told | `served::starting::an_edit_after_the_start_changes_no_run_and_is_told` |
//! | An answer is no edit | `served::ending::an_answer_about_the_brief_is_no_edit_of_the_issue` |
//! | Proof on GitHub: every edit strictly earlier | `github::traps::words_are_unedited_only_where_every_edit_is_strictly_earlier` |
//! | Never edited, on GitHub | `github::traps::comments_tell_whether_they_were_ever_edited` |
//! | Find-or-create looks for branch and marker | `github::traps::the_pull_request_of_somebody_else_on_our_branch_is_not_taken` |
//! | Links in comments carry no credential | `replies::a_page_is_linked_only_where_a_reader_could_reach_it` |
//! | nor those that the server writes, with `public_url` | `served::keys::where_the_server_is_reached_from_outside_comments_link_to_the_page_without_its_key` |
//! | Signed links expire and come from `tasks show --link` | `web::pages::a_link_opens_the_page_of_its_task_and_leaves_no_credential_in_the_address` |
//! | Where no drafts exist, the approval check is pending | `report::the_approval_is_pending_until_somebody_gave_it` |
//! | Issue deleted or locked | `served::bad::a_delivery_for_another_repository_changes_nothing_and_a_deleted_or_locked_issue_breaks_nothing` |
//! | A stranger causes one Proposed comment an issue, five an hour; the rest only in `tasks list` | `served::bad::a_stranger_s_flood_of_labelled_issues_shows_five_and_the_rest_is_only_in_tasks_list` |
//! | one reaction, or one rate-limited reply | `served::bad::a_stranger_causes_no_write_but_one_reaction_to_a_comment_and_one_reply_in_a_while` |
//! | An issue that was transferred out of reach ends its task as a closed one does | `served::github::moved::an_issue_that_is_transferred_during_its_task_stops_it_and_leaves_nothing` |
//! | and after a pull request changes nothing | `served::github::moved::an_issue_that_is_transferred_after_its_pull_request_leaves_that_to_people` |
//!
//! Not to be had on Gitea: an issue transferred (it has no such verb; a deleted one stands for it), a repository
//! without drafts, a label put by a template for somebody without rights (the right is taken back after the act).

use std::path::Path;

#[test]
fn every_test_of_the_table_exists() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let own = std::fs::read_to_string(tests.join("rules.rs")).unwrap();
    let rows: Vec<&str> = own
        .lines()
        .filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix("` |"))
        .collect();
    assert!(rows.len() > 30, "{}", rows.len());
    for row in rows {
        let (_, test) = row.rsplit_once('`').unwrap();
        let (module, name) = test.rsplit_once("::").unwrap();
        let file = tests.join(format!("{}.rs", module.replace("::", "/")));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{test}: {why}"));
        // A test, not just a function of that name; conformance tests are listed where they are run.
        let declared = ["\n#[test]\nfn ", "]\nasync fn ", "\nasync fn "].iter();
        let is_there = declared
            .clone()
            .any(|before| text.contains(&format!("{before}{name}(")));
        assert!(is_there, "{test}");
    }
}
