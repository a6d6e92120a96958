//! What is looked for, and what is never shown: names, and nothing else.

/// Sub-folders of the home folder where version managers keep what they installed. One is mounted
/// when the search path leads into it.
pub(super) const INSTALLED: [&str; 12] = [
    ".nvm/versions",
    ".fnm/node-versions",
    ".local/share/fnm/node-versions",
    ".volta/tools/image",
    ".asdf/installs",
    ".local/share/mise/installs",
    ".local/share/uv/python",
    ".local/share/pnpm/nodejs",
    ".sdkman/candidates",
    ".rbenv/versions",
    ".bun/bin",
    ".deno/bin",
];

/// Programs that bring a folder of their own, and what that folder holds besides `bin`.
pub(super) const ROOTED: [(&str, &str); 4] = [
    ("go", "pkg/tool"),
    ("node", "lib/node_modules"),
    ("java", "lib/modules"),
    ("mvn", "boot"),
];

/// Folders of a home in which people and programs keep secrets.
pub(super) const SECRET: [&str; 14] = [
    ".ssh",
    ".aws",
    ".azure",
    ".config",
    ".docker",
    ".gnupg",
    ".kube",
    ".mozilla",
    ".netrc",
    ".pki",
    ".password-store",
    ".gsutil",
    ".terraform.d",
    ".claude",
];

/// Files that hold credentials; a folder with one of them is left out.
pub(super) const CREDENTIALS: [&str; 9] = [
    "credentials",
    "credentials.toml",
    ".npmrc",
    "settings.xml",
    "settings-security.xml",
    ".netrc",
    ".git-credentials",
    ".pypirc",
    "id_rsa",
];
