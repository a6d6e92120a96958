//! Signatures, without a socket.

use std::collections::BTreeMap;

use prentice::forge::hook::{Kind, Signed, Unsigned, verify};
use secrecy::SecretString;

use super::{SECRET, sign};

const BODY: &[u8] = b"{\"action\":\"opened\"}";

fn check(
    kind: Kind,
    secret: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Signed, Unsigned> {
    let headers: BTreeMap<&str, &str> = headers.iter().copied().collect();
    verify(
        kind,
        &SecretString::from(secret),
        &|name| headers.get(name).copied(),
        body,
    )
}

fn github(signature: &str) -> Vec<(&str, &str)> {
    vec![
        ("x-github-event", "issues"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", signature),
    ]
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let signed = check(
        Kind::GitHub,
        "It's a Secret to Everybody",
        &github(signature),
        b"Hello, World!",
    )
    .unwrap();
    assert_eq!(signed.event, "issues");
    assert_eq!(signed.delivery, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
}

#[test]
fn every_bit_of_signature_body_and_secret_counts() {
    let right = sign(BODY);
    let of = |digits: &str, secret: &str, body: &[u8]| {
        check(
            Kind::GitHub,
            secret,
            &github(&format!("sha256={digits}")),
            body,
        )
    };
    of(&right, SECRET, BODY).unwrap();
    of(&right.to_uppercase(), SECRET, BODY).unwrap();
    for at in 0..64 {
        for bit in 0..4 {
            let digit = char::from(right.as_bytes()[at]).to_digit(16).unwrap() ^ (1 << bit);
            let mut digits = right.clone();
            digits.replace_range(at..=at, &format!("{digit:x}"));
            assert_eq!(
                of(&digits, SECRET, BODY),
                Err(Unsigned::Wrong),
                "{at} {bit}"
            );
        }
    }
    for at in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[at] ^= 1;
        assert_eq!(of(&right, SECRET, &body), Err(Unsigned::Wrong));
    }
    assert_eq!(
        of(&right, SECRET, &[BODY, b"\n"].concat()),
        Err(Unsigned::Wrong)
    );
    assert_eq!(of(&right, &SECRET[1..], BODY), Err(Unsigned::Wrong));
}

#[test]
fn an_empty_secret_proves_nothing() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"").unwrap();
    mac.update(BODY);
    let digits: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let signed = check(Kind::GitHub, "", &github(&format!("sha256={digits}")), BODY);
    assert_eq!(signed, Err(Unsigned::Wrong));
}

#[test]
fn gitea_and_forgejo_sign_under_their_own_names_and_the_type_is_the_event() {
    let right = sign(BODY);
    let hub = format!("sha256={right}");
    for (headers, event) in [
        (
            vec![
                ("x-gitea-signature", &*right),
                ("x-gitea-event", "issues"),
                ("x-gitea-event-type", "issue_label"),
                ("x-gitea-delivery", "1"),
            ],
            "issue_label",
        ),
        (
            vec![
                ("x-forgejo-signature", &*right),
                ("x-forgejo-event", "issues"),
                ("x-forgejo-delivery", "1"),
            ],
            "issues",
        ),
        (
            vec![
                ("x-hub-signature-256", &*hub),
                ("x-gitea-event", "push"),
                ("x-gitea-delivery", "1"),
                ("x-github-event", "issues"),
                ("x-github-delivery", "2"),
            ],
            "push",
        ),
    ] {
        let signed = check(Kind::Gitea, SECRET, &headers, BODY).unwrap();
        assert_eq!((&*signed.event, &*signed.delivery), (event, "1"));
    }
    // An empty one is what a forge without a secret sends: another that is right does not help.
    let empty = [
        ("x-gitea-signature", ""),
        ("x-forgejo-signature", &*right),
        ("x-hub-signature-256", &*hub),
        ("x-gitea-event", "push"),
        ("x-gitea-delivery", "1"),
    ];
    assert_eq!(
        check(Kind::Gitea, SECRET, &empty, BODY),
        Err(Unsigned::Missing)
    );
    // With the algorithm before it, it is not what Gitea writes there.
    let strange = [
        ("x-gitea-signature", &*hub),
        ("x-gitea-event", "push"),
        ("x-gitea-delivery", "1"),
    ];
    assert_eq!(
        check(Kind::Gitea, SECRET, &strange, BODY),
        Err(Unsigned::Malformed)
    );
}
