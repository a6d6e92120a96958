//! Deliveries of the fake: shaped as GitHub's published examples, signed, sent, and recorded as GitHub does.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::{Delivery, World};

/// The published example of an event that is nearest to this action; empty where none was fetched.
pub(super) fn example(event: &str, action: &str) -> Value {
    static LOADED: OnceLock<Vec<Value>> = OnceLock::new();
    let all = LOADED.get_or_init(|| {
        let cache = crate::gitea::cache().join("webhooks/github.json");
        let text = std::fs::read(cache).unwrap_or_else(|_| b"[]".to_vec());
        serde_json::from_slice(&text).unwrap()
    });
    let of = all.iter().find(|one| one["name"] == event);
    let examples = of
        .and_then(|one| one["examples"].as_array())
        .map_or(&[][..], Vec::as_slice);
    let exact = examples.iter().find(|one| one["action"] == action);
    exact
        .or(examples.first())
        .cloned()
        .unwrap_or_else(|| json!({}))
}

/// Signs a body as GitHub does.
fn signature(secret: &str, body: &[u8]) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let digits = mac.finalize().into_bytes();
    let hex: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// Sends one attempt of a delivery; its status, 502 where nobody answers.
pub(super) async fn post(
    (url, secret): &(String, String),
    guid: &str,
    event: &str,
    payload: &Value,
) -> u16 {
    let body = serde_json::to_vec(payload).unwrap();
    // Installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sent = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/json")
        .header("user-agent", "GitHub-Hookshot/test")
        .header("x-github-event", event)
        .header("x-github-delivery", guid)
        .header("x-hub-signature-256", signature(secret, &body))
        .body(body)
        .timeout(Duration::from_secs(10))
        .send()
        .await;
    sent.map_or(502, |answer| answer.status().as_u16())
}

/// Keeps what became of an attempt, for the list of deliveries.
pub(super) fn record(world: &mut World, guid: &str, event: &str, payload: &Value, status: u16) {
    let (id, at) = (world.id(), world.tick());
    world.deliveries.push(Delivery {
        id,
        guid: guid.to_owned(),
        at,
        status: i64::from(status),
        event: event.to_owned(),
        payload: payload.clone(),
    });
}

/// An id as deliveries have.
pub(super) fn guid(world: &mut World) -> String {
    format!("00000000-0000-4000-8000-{:012}", world.id())
}
