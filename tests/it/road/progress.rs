//! What a person who watches a run sees, on a terminal and off it.

use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::*;

/// Talks once, then is at work for a while in silence.
fn slow() -> String {
    sh("cat > /dev/null; echo talk; sleep 3; echo right > answer.txt")
}

#[test]
fn plain_lines_name_each_step_and_tell_of_one_that_goes_on() {
    let road = Road::new();
    let agent = slow();
    let mut command = road.command(&road.run_words(&agent));
    command.env("PRENTICE_TALK_EVERY_SECS", "1");
    let ran = Running::start(command).end().ends(0);
    let told: Vec<&str> = ran
        .err
        .lines()
        .filter_map(|line| Some(line.trim_start().split_once("s  ")?.1))
        .collect();
    let at = |begin: &str| {
        let found = told.iter().position(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("nothing begins with {begin:?}: {told:#?}"))
    };
    let order = [
        "workspace: prepare …",
        "base: tests …",
        "base: tests exits 1 (",
        "agent: at work …",
        "agent: at work, for 1 s; last sign of life ",
        "agent: is done (",
        "gates: read and judge the result …",
        "head: tests …",
        "head: tests passes (",
    ]
    .map(at);
    assert!(order.is_sorted(), "{order:?} {told:#?}");
}

/// Runs to its end with standard error on a terminal; what was drawn there.
fn on_terminal(mut command: Process) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let inner = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(OsStr::from_bytes(name.to_bytes()))
        .unwrap();
    let size = Winsize {
        ws_row: 40,
        ws_col: 120,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&inner, size).unwrap();
    command.env("TERM", "xterm").stdout(Stdio::null());
    let mut child = command.stderr(OwnedFd::from(inner)).spawn().unwrap();
    // The only other end is the child's, so that its end ends the reading.
    drop(command);
    let mut drawn = Vec::new();
    // A terminal that nobody else holds any more cannot be read.
    let _ = fs::File::from(terminal).read_to_end(&mut drawn);
    assert!(child.wait().unwrap().success());
    String::from_utf8_lossy(&drawn).into_owned()
}

#[test]
fn on_a_terminal_the_live_line_names_the_step_that_goes_on() {
    let road = Road::new();
    let agent = slow();
    let drawn = on_terminal(road.command(&road.run_words(&agent)));
    let (before, after) = drawn.split_once("base: tests exits 1").unwrap();
    assert!(before.contains("workspace: prepare, for"), "{before}");
    let (during, after) = after.split_once("agent: is done").unwrap();
    assert!(!during.contains("base: tests"), "{during}");
    for shown in [
        "agent: at work, for 2 s; last sign of life ",
        "agent: at work, for 1 s; last sign of life ",
    ] {
        assert!(during.contains(shown), "{during}");
    }
    assert!(after.contains("head: tests passes"), "{after}");
}
