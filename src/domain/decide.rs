//! Placeholder of the first commit; see the map in lib.rs.
