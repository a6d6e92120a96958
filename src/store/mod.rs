//! Inbox, tasks, journal, outbox, artifacts: one transaction each.
