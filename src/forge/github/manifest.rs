//! A GitHub App made from a manifest: what it asks for, and the exchange of the code that comes back.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Error;
use super::api::{Ask, Method, part, send_once};
use super::{Base, no_client};

/// What an App may do: permission, access, why. Nothing that reaches workflows, administration or secrets.
pub const PERMISSIONS: [(&str, &str, &str); 5] = [
    ("issues", "write", "to comment, and to set labels"),
    (
        "pull_requests",
        "write",
        "to open pull requests and ask for reviews",
    ),
    (
        "contents",
        "write",
        "to fetch the code, and to push branches of its own",
    ),
    ("checks", "write", "to show evidence on commits"),
    ("metadata", "read", "to see who may do what"),
];

/// What an App is told of.
const EVENTS: [&str; 9] = [
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "create",
    "delete",
    "repository",
];

/// An App to be made.
pub struct NewApp<'a> {
    /// As people see it; they can change it on GitHub's page.
    pub name: &'a str,
    /// Its page.
    pub url: &'a str,
    /// Where deliveries go; `None` = the forge is asked instead.
    pub hook: Option<&'a str>,
    /// Where GitHub sends the browser with the code.
    pub back: &'a str,
}

/// An App that was made. Not printable, since its secrets are in it.
pub struct MadeApp {
    /// Its number.
    pub id: u64,
    /// Its name in addresses.
    pub slug: String,
    /// Its page, from which it is installed.
    pub page: String,
    /// Its private key, PEM.
    pub key: SecretString,
    /// What its deliveries are signed with.
    pub webhook_secret: Option<SecretString>,
}

/// The manifest of an App.
pub(in crate::forge) fn manifest(app: &NewApp<'_>) -> String {
    let permissions: serde_json::Map<String, Value> = PERMISSIONS
        .iter()
        .map(|(name, access, _)| ((*name).to_owned(), json!(access)))
        .collect();
    let mut manifest = json!({
        "name": app.name, "url": app.url, "redirect_url": app.back, "public": false,
        "default_permissions": permissions,
    });
    if let (Some(hook), Some(fields)) = (app.hook, manifest.as_object_mut()) {
        fields.insert(
            "hook_attributes".to_owned(),
            json!({ "url": hook, "active": true }),
        );
        fields.insert("default_events".to_owned(), json!(EVENTS));
    }
    manifest.to_string()
}

/// Where the form with the manifest goes: to an organisation, or to the account of whoever sends it.
pub(in crate::forge) fn form(base_url: Option<&str>, org: Option<&str>) -> Result<String, Error> {
    let web = Base::new(base_url)?.web;
    Ok(match org {
        Some(org) => format!("{web}/organizations/{}/settings/apps/new", part(org)),
        None => format!("{web}/settings/apps/new"),
    })
}

/// What the exchange is about, for errors.
const ASK: Ask<'static> = Ask {
    what: "the App that GitHub made",
    needs: "nothing",
};

#[derive(Deserialize)]
struct RawApp {
    id: u64,
    slug: Option<String>,
    html_url: String,
    pem: String,
    webhook_secret: Option<String>,
}

/// Exchanges the code, once, for the App that it stands for.
pub(in crate::forge) async fn convert(
    base_url: Option<&str>,
    code: &str,
) -> Result<MadeApp, Error> {
    let base = Base::new(base_url)?;
    let crab = base
        .builder(&base.api)?
        .build()
        .map_err(|error| no_client(&error))?;
    let path = format!("/app-manifests/{}/conversions", part(code));
    let answer = send_once(&crab, Method::Post, &path).await?;
    let raw: RawApp = match answer.status {
        201 => answer.read(ASK)?,
        404 | 422 => {
            return Err(Error::Invalid {
                what: "the code that GitHub gave".to_owned(),
                why: "it was used already, or an hour is over; begin again".to_owned(),
            });
        }
        status => {
            return Err(Error::Retry {
                after_secs: None,
                why: format!("GitHub answered {status} to the code"),
            });
        }
    };
    Ok(MadeApp {
        id: raw.id,
        slug: raw.slug.unwrap_or_default(),
        page: raw.html_url,
        key: SecretString::from(raw.pem),
        webhook_secret: raw
            .webhook_secret
            .filter(|secret| !secret.is_empty())
            .map(SecretString::from),
    })
}
