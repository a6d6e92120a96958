//! Parse, call `cli`, print one error, exit code.

fn main() {}
