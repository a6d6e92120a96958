//! GraphQL as far as our documents need it: read, held to GitHub's published schema, and answered.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::description::cached;

#[derive(Deserialize)]
struct Type {
    kind: String,
    fields: HashMap<String, Field>,
    inputs: HashMap<String, Input>,
    values: Vec<String>,
    possible: Vec<String>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(rename = "type")]
    kind: String,
    args: HashMap<String, Input>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(rename = "type")]
    kind: String,
    default: bool,
}

fn schema() -> &'static HashMap<String, Type> {
    static LOADED: OnceLock<HashMap<String, Type>> = OnceLock::new();
    LOADED.get_or_init(|| serde_json::from_slice(&cached("graphql.json").unwrap()).unwrap())
}

/// One document, read.
pub(crate) struct Document {
    root: &'static str,
    variables: HashMap<String, String>,
    selections: Vec<Selection>,
}

pub(crate) enum Selection {
    Field {
        name: String,
        args: Vec<(String, Literal)>,
        inner: Vec<Selection>,
    },
    On {
        kind: String,
        inner: Vec<Selection>,
    },
}

#[derive(Debug)]
pub(crate) enum Literal {
    Variable(String),
    Number(i64),
    Text(String),
    Word(String),
    List(Vec<Literal>),
    Object(Vec<(String, Literal)>),
}

impl Document {
    /// Reads a document and holds it to the schema; every mistake is told.
    pub(crate) fn checked(text: &str, given: &Value) -> Result<Self, Vec<String>> {
        let document = Reader::new(text).document();
        let mut wrong = Vec::new();
        for (name, kind) in &document.variables {
            let value = &given[name];
            if value.is_null() && kind.ends_with('!') {
                wrong.push(format!("the variable `{name}` is not given"));
            } else if !value.is_null() && value.is_array() != kind.starts_with('[') {
                wrong.push(format!("the variable `{name}` is no {kind}"));
            }
        }
        for name in given.as_object().into_iter().flat_map(Map::keys) {
            if !document.variables.contains_key(name) {
                wrong.push(format!("the variable `{name}` is not declared"));
            }
        }
        document.check(&document.selections, document.root, &mut wrong);
        if wrong.is_empty() {
            Ok(document)
        } else {
            Err(wrong)
        }
    }

    /// The first field of the root of a request, by which it is known: there is one address for all.
    pub(crate) fn root_field(body: &[u8]) -> String {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = body["query"].as_str().unwrap_or_default();
        let (_, rest) = text.split_once('{').unwrap_or_default();
        let name = rest.trim_start();
        let end = name.find(|c: char| !c.is_alphanumeric());
        name[..end.unwrap_or(name.len())].to_owned()
    }

    /// Fields of the root with their arguments, variables put in.
    pub(crate) fn asked(&self, given: &Value) -> Vec<(&str, Value, &[Selection])> {
        let fields = self.selections.iter().filter_map(|one| match one {
            Selection::Field { name, args, inner } => {
                let args = args
                    .iter()
                    .map(|(name, of)| (name.clone(), of.value(given)));
                Some((
                    name.as_str(),
                    Value::Object(args.collect()),
                    inner.as_slice(),
                ))
            }
            Selection::On { .. } => None,
        });
        fields.collect()
    }

    fn check(&self, selections: &[Selection], on: &str, wrong: &mut Vec<String>) {
        let Some(kind) = schema().get(on) else {
            wrong.push(format!("no type `{on}`"));
            return;
        };
        if selections.is_empty() {
            wrong.push(format!("nothing is selected of `{on}`"));
        }
        for selection in selections {
            match selection {
                Selection::On { kind: other, inner } => {
                    if other != on && !kind.possible.contains(other) {
                        wrong.push(format!("`{on}` is never a `{other}`"));
                    }
                    self.check(inner, other, wrong);
                }
                Selection::Field { name, .. } if name == "__typename" => {}
                Selection::Field { name, args, inner } => {
                    let Some(field) = kind.fields.get(name) else {
                        wrong.push(format!("`{on}` has no field `{name}`"));
                        continue;
                    };
                    self.inputs(args, &field.args, &format!("{on}.{name}"), wrong);
                    let of = named(&field.kind);
                    let leaf = matches!(schema()[of].kind.as_str(), "SCALAR" | "ENUM");
                    if leaf && !inner.is_empty() {
                        wrong.push(format!("`{on}.{name}` has no fields"));
                    } else if !leaf {
                        self.check(inner, of, wrong);
                    }
                }
            }
        }
    }

    fn inputs(
        &self,
        given: &[(String, Literal)],
        known: &HashMap<String, Input>,
        what: &str,
        wrong: &mut Vec<String>,
    ) {
        for (name, value) in given {
            match known.get(name) {
                None => wrong.push(format!("`{what}` takes no `{name}`")),
                Some(input) => self.fits(value, &input.kind, &format!("{what}({name})"), wrong),
            }
        }
        for (name, input) in known {
            let is_given = given.iter().any(|(one, _)| one == name);
            if input.kind.ends_with('!') && !input.default && !is_given {
                wrong.push(format!("`{what}` wants `{name}`"));
            }
        }
    }

    fn fits(&self, value: &Literal, kind: &str, what: &str, wrong: &mut Vec<String>) {
        let bare = kind.trim_end_matches('!');
        let of = &schema().get(named(kind));
        let ok = match value {
            Literal::Variable(name) => match self.variables.get(name) {
                None => false,
                // A variable that is never null fits where null would.
                Some(declared) => declared == kind || declared.trim_end_matches('!') == kind,
            },
            Literal::List(items) => match bare
                .strip_prefix('[')
                .and_then(|bare| bare.strip_suffix(']'))
            {
                None => false,
                Some(inner) => {
                    items
                        .iter()
                        .for_each(|item| self.fits(item, inner, what, wrong));
                    true
                }
            },
            Literal::Object(fields) => match of {
                Some(of) if of.kind == "INPUT_OBJECT" => {
                    self.inputs(fields, &of.inputs, what, wrong);
                    true
                }
                _ => false,
            },
            Literal::Word(word) => match of {
                Some(of) if of.kind == "ENUM" => of.values.contains(word),
                _ => bare == "Boolean" && matches!(word.as_str(), "true" | "false"),
            },
            Literal::Number(_) => bare == "Int",
            Literal::Text(_) => of.is_some_and(|of| of.kind == "SCALAR") && bare != "Int",
        };
        if !ok {
            wrong.push(format!("`{what}` wants {kind}, not {value:?}"));
        }
    }
}

impl Literal {
    fn value(&self, given: &Value) -> Value {
        match self {
            Self::Variable(name) => given[name].clone(),
            Self::Number(number) => Value::from(*number),
            Self::Text(text) | Self::Word(text) => Value::from(text.clone()),
            Self::List(items) => items.iter().map(|item| item.value(given)).collect(),
            Self::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, of)| (name.clone(), of.value(given)));
                Value::Object(fields.collect())
            }
        }
    }
}

/// What was selected of a value. Its `__typename` says which fragments apply; a field that it lacks is a mistake of
/// the fake.
pub(crate) fn selected(value: &Value, selections: &[Selection]) -> Value {
    match value {
        Value::Array(items) => items
            .iter()
            .map(|item| selected(item, selections))
            .collect(),
        Value::Object(fields) => {
            let mut out = Map::new();
            for selection in selections {
                match selection {
                    Selection::Field { name, inner, .. } => {
                        let of = fields
                            .get(name)
                            .unwrap_or_else(|| panic!("no `{name}` in {value}"));
                        let of = if inner.is_empty() {
                            of.clone()
                        } else {
                            selected(of, inner)
                        };
                        out.insert(name.clone(), of);
                    }
                    Selection::On { kind, inner } if fields["__typename"] == **kind => {
                        if let Value::Object(more) = selected(value, inner) {
                            out.extend(more);
                        }
                    }
                    Selection::On { .. } => {}
                }
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}

fn named(kind: &str) -> &str {
    kind.trim_matches(|c| matches!(c, '[' | ']' | '!'))
}

struct Reader {
    tokens: Vec<String>,
    at: usize,
}

impl Reader {
    fn new(text: &str) -> Self {
        let mut tokens: Vec<String> = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c.is_whitespace() || c == ',' {
                continue;
            }
            let mut token = String::from(c);
            if c == '"' {
                for c in chars.by_ref() {
                    token.push(c);
                    if c == '"' {
                        break;
                    }
                }
            } else if c == '.' {
                token.extend(chars.by_ref().take(2));
            } else if c.is_alphanumeric() || c == '_' {
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    token.push(c);
                }
            }
            tokens.push(token);
        }
        Self { tokens, at: 0 }
    }

    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        let token = self.peek().to_owned();
        assert!(!token.is_empty(), "the document ends too early");
        self.at += 1;
        token
    }

    fn demand(&mut self, token: &str) {
        let found = self.next();
        assert_eq!(found, token, "in a GraphQL document");
    }

    fn took(&mut self, token: &str) -> bool {
        let is = self.peek() == token;
        self.at += usize::from(is);
        is
    }

    fn document(mut self) -> Document {
        let root = match self.next().as_str() {
            "query" => "Query",
            "mutation" => "Mutation",
            other => panic!("a GraphQL document begins with `{other}`"),
        };
        self.next();
        let mut variables = HashMap::new();
        if self.took("(") {
            while !self.took(")") {
                self.demand("$");
                let name = self.next();
                self.demand(":");
                let mut kind = String::new();
                while !matches!(self.peek(), "$" | ")") {
                    kind.push_str(&self.next());
                }
                variables.insert(name, kind);
            }
        }
        let selections = self.selections();
        assert_eq!(self.peek(), "", "one operation is a document");
        Document {
            root,
            variables,
            selections,
        }
    }

    fn selections(&mut self) -> Vec<Selection> {
        let mut all = Vec::new();
        self.demand("{");
        while !self.took("}") {
            if self.took("...") {
                self.demand("on");
                let kind = self.next();
                let inner = self.selections();
                all.push(Selection::On { kind, inner });
                continue;
            }
            let name = self.next();
            let args = if self.took("(") {
                self.fields(")")
            } else {
                Vec::new()
            };
            let inner = if self.peek() == "{" {
                self.selections()
            } else {
                Vec::new()
            };
            all.push(Selection::Field { name, args, inner });
        }
        all
    }

    fn fields(&mut self, end: &str) -> Vec<(String, Literal)> {
        let mut all = Vec::new();
        while !self.took(end) {
            let name = self.next();
            self.demand(":");
            all.push((name, self.literal()));
        }
        all
    }

    fn literal(&mut self) -> Literal {
        let token = self.next();
        match token.as_str() {
            "$" => Literal::Variable(self.next()),
            "{" => Literal::Object(self.fields("}")),
            "[" => {
                let mut items = Vec::new();
                while !self.took("]") {
                    items.push(self.literal());
                }
                Literal::List(items)
            }
            text if text.starts_with('"') => Literal::Text(text.trim_matches('"').to_owned()),
            text => match text.parse() {
                Ok(number) => Literal::Number(number),
                Err(_) => Literal::Word(token),
            },
        }
    }
}

#[test]
fn a_document_against_the_schema_is_noticed() {
    if cached("graphql.json").is_none() {
        return;
    }
    let given = serde_json::json!({ "id": "x" });
    for bad in [
        "query A($id: ID!) { node(id: $id) { id nothing } }",
        "query A($id: ID!) { node(id: $id) { ... on Issue { lastEditedAt { x } } } }",
        "query A($id: ID!) { node(id: $id) { ... on Issue { timelineItems(last: 1) } } }",
        "query A($id: ID!) { node(id: $id) { ... on IssueComment { id(x: 1) } } }",
        "query A($id: ID!) { node { id } }",
        "query A($id: String!) { node(id: $id) { id } }",
        "query A { node(id: $id) { id } }",
        "mutation A($id: ID!) { minimizeComment(input: { subjectId: $id, classifier: OLD }) { clientMutationId } }",
        "mutation A($id: ID!) { minimizeComment(input: { subjectId: $id }) { clientMutationId } }",
        "query A($id: ID!) { node(id: $id) { ... on Bogus { id } } }",
    ] {
        assert!(Document::checked(bad, &given).is_err(), "{bad}");
    }
    let good = "query A($id: ID!) { node(id: $id) { id ... on Issue { timelineItems(last: 1, itemTypes: [RENAMED_TITLE_EVENT]) { totalCount } } } }";
    assert!(Document::checked(good, &given).is_ok());
}
