//! What the table of keys says about itself: the schema, the reference, `config show`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::forges::{FORGE, ForgeSettings};
use super::keys::{MOST_CHECKS, REPOSITORY, VERIFY};
use super::kinds::{Need, Section};
use super::server::Server;
use super::server_keys::SERVER;
use super::{Origins, new_check};
use crate::domain::settings::Settings;

/// JSON Schema (2020-12) of the repository file, for editors; `src/config/schema.json` is this.
#[must_use]
pub fn schema() -> String {
    let mut properties = Map::new();
    properties.insert(
        "version".to_owned(),
        json!({"const": 1, "description": "Version of the format."}),
    );
    let mut defaults = Settings::default();
    for section in REPOSITORY {
        properties.insert(
            section.name.to_owned(),
            table_schema(section, &mut defaults),
        );
    }
    let mut check = table_schema(&VERIFY, &mut new_check("", ""));
    let description = check
        .as_object_mut()
        .and_then(|check| check.remove("description"));
    properties.insert(
        VERIFY.name.to_owned(),
        json!({"type": "array", "maxItems": MOST_CHECKS, "description": description, "items": check}),
    );
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "prentice repository configuration",
        "type": "object",
        "additionalProperties": false,
        "required": ["version"],
        "properties": properties,
        "$defs": {
            "duration": {"type": "string", "pattern": "^(0|[1-9][0-9]*(s|m|h|d))$"},
            "size": {"type": "string", "pattern": "^[1-9][0-9]*(KiB|MiB|GiB|TiB)$"},
        },
    });
    format!("{schema:#}\n")
}

fn table_schema<T>(section: &Section<T>, defaults: &mut T) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in section.keys {
        let mut property = key.kind.schema();
        if key.need == Need::Inherited {
            property = json!({"anyOf": [{"const": ""}, property]});
        }
        if let Some(property) = property.as_object_mut() {
            property.insert("description".to_owned(), json!(key.doc));
            if key.need == Need::Required {
                required.push(key.name);
            } else {
                property.insert("default".to_owned(), key.default(defaults));
            }
        }
        properties.insert(key.name.to_owned(), property);
    }
    let mut table = Map::new();
    table.insert("type".to_owned(), json!("object"));
    table.insert("additionalProperties".to_owned(), json!(false));
    table.insert("description".to_owned(), json!(section.doc));
    table.insert("properties".to_owned(), json!(properties));
    if !required.is_empty() {
        table.insert("required".to_owned(), json!(required));
    }
    Value::Object(table)
}

/// The configuration reference of the README, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = "### Repository file\n\n\
        `version = 1` is required; everything else has a default. The file is `.github/prentice.toml`, \
        `.forgejo/prentice.toml`, `.gitea/prentice.toml` or `prentice.toml`: the first of these that exists.\n"
        .to_owned();
    let mut defaults = Settings::default();
    for section in REPOSITORY {
        table_reference(
            &mut out,
            &format!("[{}]", section.name),
            section,
            &mut defaults,
        );
    }
    table_reference(&mut out, "[[verify]]", &VERIFY, &mut new_check("", ""));
    out.push_str(
        "\n### Server file\n\n\
         `version = 1` is required; everything else has a default. The file is the one named by `--config`, else \
         `$CONFIGURATION_DIRECTORY/server.toml`, else `$XDG_CONFIG_HOME/prentice/server.toml`; none is needed. \
         A variable `PRENTICE_SECTION__KEY` overrides one key.\n",
    );
    let mut defaults = Server::default();
    for section in SERVER {
        table_reference(
            &mut out,
            &format!("[{}]", section.name),
            section,
            &mut defaults,
        );
    }
    table_reference(&mut out, "[[forge]]", &FORGE, &mut ForgeSettings::default());
    out
}

fn table_reference<T>(out: &mut String, title: &str, section: &Section<T>, defaults: &mut T) {
    let _ = write!(
        out,
        "\n**`{title}`** {}\n\n| Key | Default | Takes | Meaning |\n|---|---|---|---|\n",
        section.doc
    );
    for key in section.keys {
        let default = match key.need {
            Need::Required => "required".to_owned(),
            Need::Inherited => "`\"\"` (the server's)".to_owned(),
            Need::Optional => format!("`{}`", literal(&key.default(defaults))),
        };
        let takes = key.kind.takes().replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{}` | {default} | {takes} | {} |",
            key.name, key.doc
        );
    }
}

/// The effective settings as a repository file, each value with its origin if asked for.
#[must_use]
pub fn show(settings: &Settings, origins: &Origins, with_origin: bool) -> String {
    let mut settings = settings.clone();
    let mut out = sections(REPOSITORY, &mut settings, origins, with_origin);
    let checks = settings.checks.iter_mut();
    list(&mut out, &VERIFY, checks, origins, with_origin);
    out
}

/// The effective server settings as a server file, each value with its origin if asked for.
#[must_use]
pub fn show_server(server: &Server, origins: &Origins, with_origin: bool) -> String {
    let mut server = server.clone();
    let mut out = sections(SERVER, &mut server, origins, with_origin);
    let forges = server.forges.iter_mut();
    list(&mut out, &FORGE, forges, origins, with_origin);
    out
}

/// A `[[list]]` of tables.
fn list<'v, T: 'v>(
    out: &mut String,
    section: &Section<T>,
    values: impl Iterator<Item = &'v mut T>,
    origins: &Origins,
    with_origin: bool,
) {
    for (i, value) in values.enumerate() {
        let _ = write!(out, "\n[[{}]]\n", section.name);
        for key in section.keys {
            let path = format!("{}[{i}].{}", section.name, key.name);
            let value = key.kind.value(value);
            line(out, key.name, &path, &value, origins, with_origin);
        }
    }
}

/// A whole file as far as it has plain keys.
fn sections<T>(
    sections: &[Section<T>],
    values: &mut T,
    origins: &Origins,
    with_origin: bool,
) -> String {
    let mut out = "version = 1\n".to_owned();
    for section in sections {
        for key in section.keys {
            let path = format!("{}.{}", section.name, key.name);
            let value = key.kind.value(values);
            line(&mut out, &path, &path, &value, origins, with_origin);
        }
    }
    out
}

fn line(
    out: &mut String,
    name: &str,
    path: &str,
    value: &Value,
    origins: &Origins,
    with_origin: bool,
) {
    let _ = write!(out, "{name} = {}", literal(value));
    if with_origin {
        let _ = write!(out, "  # {}", origins.of(path));
    }
    out.push('\n');
}

/// A value as TOML writes it.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, value)| format!("{name} = {}", literal(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        // JSON's escapes are TOML's, but TOML also wants the delete character escaped.
        other => other.to_string().replace('\u{7f}', "\\u007f"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::repository;

    #[test]
    fn the_committed_schema_is_the_tables() {
        let committed = include_str!("schema.json");
        assert_eq!(
            committed,
            schema(),
            "write it anew: prentice config schema > src/config/schema.json"
        );
    }

    #[test]
    fn a_file_of_all_defaults_of_the_schema_is_the_built_in_settings() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let mut text = "version = 1\n".to_owned();
        let mut keys = 0;
        for (table, schema) in schema["properties"].as_object().unwrap() {
            let Some(properties) = schema["properties"].as_object() else {
                continue;
            };
            for (key, schema) in properties {
                let _ = writeln!(text, "{table}.{key} = {}", literal(&schema["default"]));
                keys += 1;
            }
        }
        let expected: usize = REPOSITORY.iter().map(|section| section.keys.len()).sum();
        assert_eq!(keys, expected);
        let (settings, _) = repository("p", &text).unwrap();
        assert_eq!(
            settings,
            Settings {
                file: Some("p".to_owned()),
                ..Settings::default()
            }
        );
    }

    #[test]
    fn every_key_stands_in_the_reference_with_its_default() {
        let reference = reference();
        for section in REPOSITORY {
            for key in section.keys {
                assert!(
                    reference.contains(&format!("\n| `{}` | ", key.name)),
                    "{}",
                    key.name
                );
            }
        }
        let rows = reference.lines().filter(|line| line.starts_with('|'));
        assert!(
            rows.clone()
                .all(|row| row.replace("\\|", "").matches('|').count() == 5),
            "{reference}"
        );
        let of_task = reference.split("**`[setup]`**").nth(1).unwrap();
        let of_task = of_task.split("**`").next().unwrap();
        insta::assert_snapshot!(of_task, @r#"
         Commands before any work.

        | Key | Default | Takes | Meaning |
        |---|---|---|---|
        | `run` | `[]` | a list of at most 50 commands | Each run as `sh -c`, in order. |
        | `timeout` | `"10m"` | a duration from 1s to 24h | Limit of all of them together. |
        "#);
    }

    #[test]
    fn values_are_shown_with_where_they_came_from() {
        let (settings, origins) = repository(
            ".github/prentice.toml",
            "version = 1\n[task]\nattempts = 3\n",
        )
        .unwrap();
        let shown = show(&settings, &origins, true);
        let task: Vec<&str> = shown
            .lines()
            .filter(|line| line.starts_with("task."))
            .collect();
        insta::assert_snapshot!(task.join("\n"), @r#"
        task.base = ""  # default
        task.branch = "agent/{number}-{slug}"  # default
        task.timeout = "60m"  # default
        task.stall_after = "10m"  # default
        task.attempts = 3  # .github/prentice.toml:3
        task.max_rounds = 2  # default
        task.max_open = 3  # default
        task.keep = "14d"  # default
        task.ask_timeout = "7d"  # default
        "#);
    }
}
