//! Tests of this binary once more, as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::sandbox::helper;

/// Runs what `words` choose as uid 65534 with a home and nothing else, the folder of Go on its search path.
/// `None`, told as skipped under this name, where these tests are not root's to begin with.
pub(crate) fn again(name: &str, words: &[&str]) -> Option<Output> {
    if !crate::sandbox::is_root() {
        crate::skip::skipped(name, "takes root");
        return None;
    }
    let folder = tempfile::Builder::new()
        .prefix("prentice-user-")
        .tempdir()
        .unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    let (tests, program) = (folder.path().join("tests"), folder.path().join("program"));
    fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    fs::copy(helper(), &program).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&tests)
        .args(words)
        .arg("--nocapture")
        .current_dir(&home)
        .env_clear()
        .env("HOME", &home)
        .env("TMPDIR", &home)
        .env("PATH", "/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin")
        .env("PRENTICE_TEST_HELPER", &program)
        // Snapshots are compared, never written, and no cargo is asked where they are.
        .env("INSTA_UPDATE", "no")
        .env("INSTA_WORKSPACE_ROOT", &home)
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    Some(output)
}
