//! Signed commits, as the git program and `ssh-keygen` judge them.

use std::sync::Arc;

use prentice::git::Signer;
use secrecy::SecretString;

use super::*;

/// A private key as `ssh-keygen` makes it, and the line of its public half.
pub(crate) fn ssh_key(folder: &Path, kind: &[&str], passphrase: &str) -> (SecretString, String) {
    let file = folder.join("signing-key");
    let _ = fs::remove_file(&file);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", passphrase, "-C", "bot", "-f"])
        .arg(&file)
        .args(kind)
        .status()
        .unwrap();
    assert!(made.success());
    let private = fs::read_to_string(&file).unwrap();
    let public = fs::read_to_string(folder.join("signing-key.pub")).unwrap();
    (SecretString::from(private), public)
}

#[test]
fn a_signed_commit_is_good_to_git_and_signed_again_the_same() {
    let world = World::new();
    let user = world.user(&[("a", "1\n")]);
    let (mirror, _, base) = fetched(&world, &user);
    let tree = mirror.tree(&base).unwrap();
    for kind in [&["-t", "ed25519"][..], &["-t", "ecdsa", "-b", "256"]] {
        let (private, public) = ssh_key(world.root.path(), kind, "");
        let signer = Signer::from_openssh(&private).unwrap();
        assert!(!format!("{signer:?}").contains("PRIVATE"));
        let by = Author {
            signer: Some(Arc::new(signer)),
            ..author()
        };
        let parents = [base.clone()];
        let message = "fix: the thing\n\nWith a body.\n";
        let make = || mirror.commit(&tree, &parents, message, &by, Time(1_795_184_405_000));
        let commit = make().unwrap();
        assert_eq!(make().unwrap(), commit);
        let allowed = world.path("allowed");
        fs::write(&allowed, format!("prentice@example.org {public}")).unwrap();
        let verify = |commit: &CommitId| {
            let config = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
            Command::new("git")
                .args(["-c", &config, "verify-commit", commit.as_str()])
                .current_dir(mirror.git_dir())
                .output()
                .unwrap()
        };
        let verified = verify(&commit);
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success(), "{said}");
        assert!(
            said.contains("Good \"git\" signature for prentice@example.org"),
            "{said}"
        );
        assert!(!verify(&base).status.success(), "the base is not signed");
        let shown = git(
            &mirror.git_dir(),
            &["log", "-1", "--format=%B", commit.as_str()],
        );
        assert_eq!(shown.trim_end(), message.trim_end());
    }
}

#[test]
fn what_is_no_key_to_sign_with_is_told_without_being_quoted() {
    let world = World::new();
    let refused = |key: &SecretString| Signer::from_openssh(key).unwrap_err().to_string();
    insta::assert_snapshot!(refused(&SecretString::from("hunter2".to_owned())), @"the signing key is no private key in the form of OpenSSH; make one with `ssh-keygen -t ed25519 -N ''`");
    let (locked, _) = ssh_key(world.root.path(), &["-t", "ed25519"], "secret");
    insta::assert_snapshot!(refused(&locked), @"the signing key has a passphrase; make one with `ssh-keygen -t ed25519 -N ''`");
    let (other, _) = ssh_key(world.root.path(), &["-t", "ecdsa", "-b", "384"], "");
    insta::assert_snapshot!(refused(&other), @"the signing key is of a kind that cannot sign here; make one with `ssh-keygen -t ed25519 -N ''`");
}
