//! Who edits: one trait, two back ends.
