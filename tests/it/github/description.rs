//! GitHub's published description: every request and every answer is held to it, and answers are made from it.
//!
//! Its own mistakes are met halfway, nowhere else: `oneOf` is read as `anyOf` (see `tests/github.sh`), errors may
//! have statuses that a route does not list, and routes below `/repositories/{id}`, which it leaves out although
//! GitHub's redirects point there, are those below `/repos/{owner}/{repo}`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Map, Value, json};

/// One operation.
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) path: String,
    query: BTreeMap<String, Value>,
    body: Option<Value>,
    body_required: bool,
    answers: BTreeMap<String, Value>,
}

/// The description, loaded once for all tests.
pub(crate) struct Description {
    routes: Vec<Route>,
    defs: Map<String, Value>,
    validators: Mutex<HashMap<String, Arc<jsonschema::Validator>>>,
}

/// Where `tests/github.sh` leaves its files; `None` where it did not run.
pub(crate) fn cached(name: &str) -> Option<Vec<u8>> {
    let cache = std::env::var_os("PRENTICE_TEST_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("XDG_CACHE_HOME")?).join("prentice-tests")))
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/prentice-tests")))?;
    fs::read(cache.join("github").join(name)).ok()
}

/// The description, `None` where it was not fetched.
pub(crate) fn description() -> Option<&'static Description> {
    static LOADED: OnceLock<Option<Description>> = OnceLock::new();
    LOADED.get_or_init(Description::load).as_ref()
}

impl Description {
    fn load() -> Option<Self> {
        let mut whole: Map<String, Value> =
            serde_json::from_slice(&cached("openapi.json")?).unwrap();
        let Some(Value::Object(defs)) = whole.remove("$defs") else {
            panic!("openapi.json has no $defs");
        };
        let Some(Value::Array(routes)) = whole.remove("routes") else {
            panic!("openapi.json has no routes");
        };
        let table = |value: &Value| -> BTreeMap<String, Value> {
            let fields = value.as_object().unwrap().iter();
            fields
                .map(|(name, of)| (name.clone(), of.clone()))
                .collect()
        };
        let routes = routes.iter().map(|one| Route {
            method: one["method"].as_str().unwrap().to_owned(),
            path: one["path"].as_str().unwrap().to_owned(),
            query: table(&one["query"]),
            body: Some(one["body"].clone()).filter(|body| !body.is_null()),
            body_required: one["body_required"].as_bool().unwrap(),
            answers: table(&one["answers"]),
        });
        Some(Self {
            routes: routes.collect(),
            defs,
            validators: Mutex::default(),
        })
    }

    /// The operation of a request, with the parts of its path that stand for something.
    pub(crate) fn route(
        &self,
        method: &str,
        path: &str,
    ) -> Option<(&Route, HashMap<String, String>)> {
        let asked: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let fits = |route: &&Route| {
            let mut parts = HashMap::new();
            let words: Vec<&str> = route.path.trim_start_matches('/').split('/').collect();
            if route.method != method || words.len() != asked.len() {
                return None;
            }
            for (word, asked) in words.iter().zip(&asked) {
                match word
                    .strip_prefix('{')
                    .and_then(|word| word.strip_suffix('}'))
                {
                    Some(name) => {
                        parts.insert(name.to_owned(), decoded(asked));
                    }
                    None if word == asked => {}
                    None => return None,
                }
            }
            Some(parts)
        };
        // The plainest route wins: `/issues/comments/1` is not comment 1 of the issue `comments`.
        let mut found: Vec<_> = self
            .routes
            .iter()
            .filter_map(|route| Some((route, fits(&route)?)))
            .collect();
        found.sort_by_key(|(_, parts)| parts.len());
        found.into_iter().next()
    }

    /// What is wrong with a request.
    pub(crate) fn request(&self, route: &Route, query: &str, body: &[u8]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, value) in pairs(query) {
            let Some(known) = route.query.get(&name) else {
                wrong.push(format!("unknown query `{name}`"));
                continue;
            };
            // A value of a query is text; what it should be, it has to read as.
            let schema = &known["schema"];
            let read = match schema["type"].as_str() {
                Some("integer") => value.parse::<i64>().map_or(Value::Null, Value::from),
                Some("boolean") => value.parse::<bool>().map_or(Value::Null, Value::from),
                _ => Value::from(value),
            };
            wrong.extend(self.against(schema, &read, &format!("query `{name}`")));
        }
        match &route.body {
            None if !body.is_empty() => wrong.push("a body where none is known".to_owned()),
            None => {}
            Some(_) if body.is_empty() && route.body_required => wrong.push("no body".to_owned()),
            Some(_) if body.is_empty() => {}
            Some(schema) => match serde_json::from_slice::<Value>(body) {
                Err(error) => wrong.push(format!("the body is no JSON: {error}")),
                Ok(value) => {
                    wrong.extend(self.against(schema, &value, "body"));
                    let mut known = Vec::new();
                    self.properties(schema, &mut known);
                    for name in value.as_object().into_iter().flat_map(Map::keys) {
                        if !known.contains(name) {
                            wrong.push(format!("unknown field `{name}` in the body"));
                        }
                    }
                }
            },
        }
        wrong
    }

    /// What is wrong with an answer.
    pub(crate) fn answer(&self, route: &Route, status: u16, body: &[u8]) -> Vec<String> {
        let schema = match route.answers.get(&status.to_string()) {
            Some(schema) => schema.clone(),
            None if status >= 300 => json!({ "$ref": "#/$defs/basic-error" }),
            None => return vec![format!("status {status} is not in the description")],
        };
        if schema.is_null() {
            return if body.is_empty() || status >= 300 {
                Vec::new()
            } else {
                vec![format!("a body at status {status}")]
            };
        }
        match serde_json::from_slice::<Value>(body) {
            Err(error) => vec![format!("the answer is no JSON: {error}")],
            Ok(value) => self.against(&schema, &value, "answer"),
        }
    }

    fn against(&self, schema: &Value, value: &Value, what: &str) -> Vec<String> {
        let validator = self.validator(schema);
        let wrong = validator.iter_errors(value).take(5);
        wrong
            .map(|error| format!("{what}{}: {error}", error.instance_path()))
            .collect()
    }

    fn validator(&self, schema: &Value) -> Arc<jsonschema::Validator> {
        let key = schema.to_string();
        let mut held = self.validators.lock().unwrap();
        let made = held.entry(key).or_insert_with(|| {
            let mut needed = Map::new();
            self.collect(schema, &mut needed);
            let mut whole = match schema {
                Value::Object(fields) => fields.clone(),
                _ => Map::new(),
            };
            whole.insert("$defs".to_owned(), Value::Object(needed));
            Arc::new(jsonschema::draft202012::new(&Value::Object(whole)).unwrap())
        });
        Arc::clone(made)
    }

    /// The definitions that a schema names, and those that they name.
    fn collect(&self, schema: &Value, needed: &mut Map<String, Value>) {
        match schema {
            Value::Object(fields) => {
                if let Some(name) = reference(schema)
                    && !needed.contains_key(name)
                {
                    let of = self.defs[name].clone();
                    needed.insert(name.to_owned(), of.clone());
                    self.collect(&of, needed);
                }
                fields.values().for_each(|of| self.collect(of, needed));
            }
            Value::Array(items) => items.iter().for_each(|of| self.collect(of, needed)),
            _ => {}
        }
    }

    fn properties(&self, schema: &Value, known: &mut Vec<String>) {
        if let Some(name) = reference(schema) {
            self.properties(&self.defs[name], known);
        }
        let fields = schema["properties"].as_object();
        known.extend(fields.into_iter().flat_map(Map::keys).cloned());
        for key in ["allOf", "anyOf"] {
            for of in schema[key].as_array().into_iter().flatten() {
                self.properties(of, known);
            }
        }
    }

    /// The least that the definition `name` takes, with `fields` in it: what a test does not care about is still
    /// as GitHub describes it.
    pub(crate) fn like(&self, name: &str, fields: Value) -> Value {
        let Some(schema) = self.defs.get(name) else {
            panic!("the description has no `{name}`");
        };
        // What may be null is made all the same.
        let mut schema = schema.clone();
        if let Some(kinds) = schema["type"].as_array_mut() {
            kinds.retain(|kind| kind != "null");
        }
        let mut value = self.least(&schema, 0);
        lay_over(&mut value, fields);
        value
    }

    fn least(&self, schema: &Value, depth: usize) -> Value {
        assert!(depth < 40, "a definition without end");
        if let Some(name) = reference(schema) {
            return self.least(&self.defs[name], depth + 1);
        }
        let may_be = |kind: &str| match &schema["type"] {
            Value::String(one) => one == kind,
            Value::Array(many) => many.iter().any(|one| one == kind),
            _ => false,
        };
        if may_be("null") {
            return Value::Null;
        }
        if let Some(values) = schema["enum"].as_array() {
            return values[0].clone();
        }
        let mut value = Value::Null;
        for of in schema["allOf"].as_array().into_iter().flatten() {
            lay_over(&mut value, self.least(of, depth + 1));
        }
        if let Some(many) = schema["anyOf"].as_array() {
            if many.iter().any(|of| of["type"] == "null") {
                return Value::Null;
            }
            lay_over(&mut value, self.least(&many[0], depth + 1));
        }
        if may_be("object") || schema["properties"].is_object() {
            let mut fields = Map::new();
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                let of = &schema["properties"][name];
                fields.insert(name.to_owned(), self.least(of, depth + 1));
            }
            lay_over(&mut value, Value::Object(fields));
            if value.is_null() {
                value = json!({});
            }
            return value;
        }
        if may_be("array") {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            return (0..least)
                .map(|_| self.least(&schema["items"], depth + 1))
                .collect();
        }
        if may_be("string") {
            return match schema["format"].as_str() {
                Some("uri") => Value::from("https://forge.test/x"),
                Some("date-time") => Value::from("2026-11-20T10:00:00Z"),
                _ => Value::from("x"),
            };
        }
        if may_be("integer") || may_be("number") {
            return schema["minimum"].as_i64().unwrap_or(1).into();
        }
        if may_be("boolean") {
            return Value::from(false);
        }
        value
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// Fields of objects one by one, everything else as a whole.
pub(crate) fn lay_over(value: &mut Value, over: Value) {
    match (value, over) {
        (Value::Object(fields), Value::Object(over)) => {
            for (name, of) in over {
                lay_over(fields.entry(name).or_insert(Value::Null), of);
            }
        }
        (value, over) if !over.is_null() || !value.is_object() => *value = over,
        (value, over) => *value = over,
    }
}

/// Names and values of a query.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// Percent-encoded text as text.
pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap()
}
