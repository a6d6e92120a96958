//! Git as data: mirror, checkouts, import, diff, branches.
