//! The two loops: intake and perform.
