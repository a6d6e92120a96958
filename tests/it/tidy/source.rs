//! Reads Rust sources as tokens: what comments and strings say is no path.

use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path written in a source file, made absolute where it names this crate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Line of its first word, from 1.
    pub(crate) line: usize,
    /// Whether `words` start at the root of this crate.
    pub(crate) ours: bool,
    /// `crate::a::B` is `["a", "B"]` and ours; `toml::Value` is `["toml", "Value"]`.
    pub(crate) words: Vec<String>,
}

/// One source file of the package.
pub(crate) struct Source {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
    /// All of it as tokens.
    pub(crate) tokens: Vec<TokenTree>,
}

impl Source {
    /// Reads `text` as the file `path`.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let tokens: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            tokens: tokens.into_iter().collect(),
        }
    }

    /// The module that the file is: `src/domain/gates/mod.rs` is `["domain", "gates"]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner
            .split('/')
            .filter(|word| !["mod", "lib"].contains(word))
            .map(str::to_owned)
            .collect()
    }

    /// The module of the map that the file belongs to; empty for `lib.rs`.
    pub(crate) fn top(&self) -> String {
        self.module().into_iter().next().unwrap_or_default()
    }

    /// The tokens before the trailing `#[cfg(test)] mod tests`, and its first line.
    pub(crate) fn production(&self) -> (&[TokenTree], Option<usize>) {
        let start = (0..self.tokens.len()).find(|at| is_cfg_test_attribute(&self.tokens[*at..]));
        match start {
            Some(at) => (&self.tokens[..at], Some(line_of(&self.tokens[at]))),
            None => (&self.tokens, None),
        }
    }

    /// Every path of the file, in order.
    pub(crate) fn paths(&self) -> Vec<Named> {
        paths(&self.tokens, &self.module())
    }

    /// Every path before the trailing tests.
    pub(crate) fn production_paths(&self) -> Vec<Named> {
        paths(self.production().0, &self.module())
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that git tracks or would track, from the root.
pub(crate) fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args([
            // Whoever cloned it: nothing of its configuration is run by this.
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("git ls-files: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git ls-files: {stderr}");
    let names = String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{error}"));
    let mut files: Vec<PathBuf> = names
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|file| root().join(file).is_file())
        .collect();
    files.sort();
    assert!(files.len() > 20, "git ls-files named {} files", files.len());
    files
}

/// Every Rust file under one of `folders`.
pub(crate) fn rust_files(folders: &[&str]) -> Vec<Source> {
    let rust = files().into_iter().filter(|file| {
        file.extension().is_some_and(|end| end == "rs")
            && folders.iter().any(|folder| file.starts_with(folder))
    });
    let sources: Vec<Source> = rust
        .map(|file| Source::new(&file.to_string_lossy(), &read(&file)))
        .collect();
    assert!(!sources.is_empty(), "no Rust file under {folders:?}");
    sources
}

/// The text of a file of the repository.
pub(crate) fn read(file: &Path) -> String {
    std::fs::read_to_string(root().join(file))
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The line of a token, from 1.
pub(crate) fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}

/// Calls `see` with every run of tokens that stands side by side, outermost first.
pub(crate) fn each_level(tokens: &[TokenTree], see: &mut dyn FnMut(&[TokenTree])) {
    see(tokens);
    for token in tokens {
        if let TokenTree::Group(group) = token {
            each_level(&inside(group), see);
        }
    }
}

/// What stands between the delimiters.
pub(crate) fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// The identifier, if it is one.
pub(crate) fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => {
            Some(ident.to_string().trim_start_matches("r#").to_owned())
        }
        _ => None,
    }
}

/// Whether the token is this sign.
pub(crate) fn is_sign(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// What stands in the attribute that starts here: `#[…]` or `#![…]`.
pub(crate) fn attribute(tokens: &[TokenTree]) -> Option<Vec<TokenTree>> {
    if !is_sign(tokens.first(), '#') {
        return None;
    }
    match tokens
        .iter()
        .skip(1)
        .find(|token| !is_sign(Some(token), '!'))
    {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            Some(inside(group))
        }
        _ => None,
    }
}

/// Whether exactly `#[cfg(test)]` starts here.
pub(crate) fn is_cfg_test_attribute(tokens: &[TokenTree]) -> bool {
    attribute(tokens).is_some_and(|parts| {
        let text = parts.into_iter().collect::<TokenStream>().to_string();
        text.replace(' ', "") == "cfg(test)"
    })
}

fn is_path_sign(tokens: &[TokenTree], at: usize) -> bool {
    is_sign(tokens.get(at), ':') && is_sign(tokens.get(at + 1), ':')
}

/// Every path of two words or more, and every whole `use`, in a file that is `module`.
fn paths(tokens: &[TokenTree], module: &[String]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(ident)
                if ident == "extern" && word(tokens.get(at + 1)).as_deref() == Some("crate") =>
            {
                at += 1 + use_tree(&tokens[at + 2..], module, &[], &mut found);
            }
            TokenTree::Ident(ident) if ident == "use" => {
                at += 1 + use_tree(&tokens[at + 1..], module, &[], &mut found);
            }
            TokenTree::Ident(ident) if ident == "mod" => {
                // `mod inner { … }`: what it holds is one level deeper.
                if let (Some(name), Some(TokenTree::Group(body))) =
                    (word(tokens.get(at + 1)), tokens.get(at + 2))
                {
                    let mut deeper = module.to_vec();
                    deeper.push(name);
                    found.extend(paths(&inside(body), &deeper));
                    at += 2;
                }
            }
            TokenTree::Ident(_) if is_path_sign(tokens, at + 1) => {
                at += use_tree(&tokens[at..], module, &[], &mut found).max(1) - 1;
            }
            TokenTree::Group(group) => found.extend(paths(&inside(group), module)),
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads one path or use-tree; says how many tokens it took.
fn use_tree(
    tokens: &[TokenTree],
    module: &[String],
    before: &[(String, usize)],
    found: &mut Vec<Named>,
) -> usize {
    let mut words = before.to_vec();
    let mut at = if is_path_sign(tokens, 0) { 2 } else { 0 };
    loop {
        match tokens.get(at) {
            Some(token @ TokenTree::Ident(_)) => {
                words.push((word(Some(token)).unwrap_or_default(), line_of(token)));
                at += 1;
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                for branch in inside(group).split(|token| is_sign(Some(token), ',')) {
                    if !branch.is_empty() {
                        use_tree(branch, module, &words, found);
                    }
                }
                return at + 1;
            }
            // `*`, or the generic arguments of a turbofish: the path so far is the name.
            _ => break,
        }
        if !is_path_sign(tokens, at) {
            break;
        }
        at += 2;
    }
    found.extend(absolute(&words, module));
    at
}

fn absolute(words: &[(String, usize)], module: &[String]) -> Option<Named> {
    let (first, line) = words.first()?;
    let mut rest: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
    // `a::{self}` names `a`.
    if rest.len() > 1 && rest.last() == Some(&"self") {
        rest.pop();
    }
    let mut base: Vec<String> = module.to_vec();
    let ours = match first.as_str() {
        "crate" | "prentice" => {
            base.clear();
            rest.remove(0);
            true
        }
        "self" => {
            rest.remove(0);
            true
        }
        "super" => {
            while rest.first() == Some(&"super") {
                base.pop();
                rest.remove(0);
            }
            true
        }
        _ => {
            base.clear();
            false
        }
    };
    base.extend(rest.into_iter().map(str::to_owned));
    Some(Named {
        line: *line,
        ours,
        words: base,
    })
}

#[test]
fn a_path_is_read_from_groups_supers_and_inner_modules_but_not_from_comments_or_strings() {
    let source = Source::new(
        "src/run/base.rs",
        r##"
        //! [`crate::no`]
        use crate::{git::{self, Diff as D}, store};
        use super::super::forge::Forge;
        use sqlx;
        mod inner { use super::super::seen; }
        fn f() -> crate::agent::Kind { let x = "crate::no"; g::<toml::Value>(super::x()); r#"sqlx::no"# }
        "##,
    );
    let named: Vec<String> = source
        .paths()
        .iter()
        .map(|path| {
            format!(
                "{}{}",
                if path.ours { "ours " } else { "" },
                path.words.join("::")
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            "ours git",
            "ours git::Diff",
            "ours store",
            "ours forge::Forge",
            "sqlx",
            "ours run::seen",
            "ours agent::Kind",
            "g",
            "toml::Value",
            "ours run::x",
        ]
    );
}
