//! Parse, call `cli`, print one error, exit code.

fn main() {
    // Before any thread exists: this process may be the inside of a sandbox.
    if let Some(code) = prentice::app::inner() {
        std::process::exit(code);
    }
    std::process::exit(prentice::cli::main());
}
