//! How each language writes comments and strings.

/// How a language writes comments and strings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexis {
    /// Comments to the end of the line, from anywhere.
    pub(super) inline: &'static [&'static str],
    /// Comments to the end of the line, where nothing but space is before them.
    pub(super) whole_line: &'static [&'static str],
    /// Comments with an end.
    pub(super) block: Option<Block>,
    /// Longer marks before shorter ones.
    pub(super) quotes: &'static [Quote],
    /// What needs more than a pair of marks.
    pub(super) special: Special,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) open: &'static str,
    pub(super) close: &'static str,
    pub(super) nested: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) open: &'static str,
    pub(super) close: &'static str,
    /// Whether it may hold a line end.
    pub(super) lines: bool,
    /// Whether a backslash hides what follows it.
    pub(super) escapes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    None,
    /// `r#"…"#`, and `'` that is a lifetime.
    Rust,
    /// `R"x(…)x"`.
    Cpp,
    /// `/…/` after something that cannot be divided.
    JavaScript,
    /// Comments that decide what is built, or what an example has to print.
    Go,
    /// `#[…]` is no comment.
    Php,
    /// `<<WORD` up to a line that is `WORD`, `=begin` … `=end`, and what follows `__END__`.
    Heredoc,
}

const fn quote(open: &'static str, lines: bool, escapes: bool) -> Quote {
    Quote {
        open,
        close: open,
        lines,
        escapes,
    }
}

const C_BLOCK: Block = Block {
    open: "/*",
    close: "*/",
    nested: false,
};
const NESTED: Block = Block {
    nested: true,
    ..C_BLOCK
};
const DOUBLE: Quote = quote("\"", false, true);
const SINGLE: Quote = quote("'", false, true);
const C_LIKE: Lexis = Lexis {
    inline: &["//"],
    whole_line: &[],
    block: Some(C_BLOCK),
    quotes: &[DOUBLE, SINGLE],
    special: Special::None,
};
const SCRIPT: Lexis = Lexis {
    inline: &[],
    whole_line: &["#"],
    block: None,
    quotes: &[],
    special: Special::None,
};

impl Lexis {
    pub(super) const RUST: Self = Self {
        block: Some(NESTED),
        quotes: &[quote("\"", true, true)],
        special: Special::Rust,
        ..C_LIKE
    };
    pub(super) const PYTHON: Self = Self {
        inline: &["#"],
        block: None,
        quotes: &[
            quote("\"\"\"", true, true),
            quote("'''", true, true),
            DOUBLE,
            SINGLE,
        ],
        ..C_LIKE
    };
    pub(super) const JAVASCRIPT: Self = Self {
        quotes: &[quote("`", true, true), DOUBLE, SINGLE],
        special: Special::JavaScript,
        ..C_LIKE
    };
    pub(super) const GO: Self = Self {
        quotes: &[quote("`", true, false), DOUBLE, SINGLE],
        special: Special::Go,
        ..C_LIKE
    };
    pub(super) const JVM: Self = Self {
        block: Some(NESTED),
        quotes: &[
            quote("\"\"\"", true, true),
            quote("'''", true, true),
            DOUBLE,
            SINGLE,
        ],
        ..C_LIKE
    };
    pub(super) const CPP: Self = Self {
        special: Special::Cpp,
        ..C_LIKE
    };
    pub(super) const CSHARP: Self = Self {
        quotes: &[
            quote("\"\"\"", true, false),
            Quote {
                open: "@\"",
                close: "\"",
                lines: true,
                escapes: false,
            },
            DOUBLE,
            SINGLE,
        ],
        ..C_LIKE
    };
    pub(super) const PHP: Self = Self {
        inline: &["//", "#"],
        quotes: &[quote("\"", true, true), quote("'", true, true)],
        special: Special::Php,
        ..C_LIKE
    };
    pub(super) const SWIFT: Self = Self {
        block: Some(NESTED),
        quotes: &[quote("\"\"\"", true, true), DOUBLE],
        ..C_LIKE
    };
    pub(super) const ELIXIR: Self = Self {
        quotes: &[quote("\"\"\"", true, true), quote("'''", true, true)],
        ..SCRIPT
    };
    /// Ruby and shell: their strings may hold whole tests, so that only heredocs are blanked.
    pub(super) const HEREDOCS: Self = Self {
        special: Special::Heredoc,
        ..SCRIPT
    };
}
