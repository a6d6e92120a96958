//! What a repository of the invoking user needs to build, found without configuration: tool chains
//! on the user's `PATH` and the package caches beside them.
//!
//! Everything is a named sub-folder. Never a home folder, an ancestor of one, or a folder that
//! holds a credential file, also not through a symbolic link. Tool chains are read-only; caches,
//! which tools write into, are private.

mod choice;
mod lists;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use choice::{pyenv_versions, rustup_choice};
use lists::{CREDENTIALS, INSTALLED, ROOTED, SECRET};

use super::credentials;
use super::{HOME, Mount, MountKind, PATH, SYSTEM};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchains {
    /// Search path inside.
    pub path: String,
    /// Environment inside, `PATH` included: where things are, and that there is no network.
    pub env: BTreeMap<String, String>,
    /// Small files inside (see [`super::Spec::files`]).
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// One line for each thing that was mounted, or found and left out with its reason.
    pub told: Vec<String>,
    found: Vec<Found>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    from: PathBuf,
    inside: PathBuf,
    private: bool,
}

/// Finds the tool chains of the user whose environment this is.
///
/// `repository`: folder whose pins count (`rust-toolchain`, `.python-version`) and for which the
/// user may have chosen a tool chain. `workspace`: path inside that is taken by the work tree.
#[must_use]
pub fn find(env: &BTreeMap<String, String>, repository: &Path, workspace: &Path) -> Toolchains {
    let home = env.get("HOME").map(PathBuf::from).unwrap_or_default();
    let mut search = Search {
        env,
        real_home: home.canonicalize().unwrap_or_else(|_| home.clone()),
        home,
        repository,
        workspace,
        paths: env
            .get("PATH")
            .map(|path| path.split(':').map(PathBuf::from).collect())
            .unwrap_or_default(),
        out: Toolchains::default(),
    };
    search.rust();
    search.python();
    search.installed();
    search.rooted();
    search.go();
    search.node();
    search.java();
    search.search_path();
    search.out
}

impl Toolchains {
    /// One more host folder, read-only at its own path: what the operator's server file names.
    pub fn add(&mut self, folder: &Path) {
        if !folder.is_absolute() || !folder.is_dir() {
            let shown = folder.display();
            self.told.push(format!(
                "{shown}: not mounted, since it is no folder (`[sandbox] toolchains`)"
            ));
            return;
        }
        self.told.push(format!(
            "{} (read-only, `[sandbox] toolchains`)",
            folder.display()
        ));
        self.found.push(Found {
            from: folder.to_owned(),
            inside: folder.to_owned(),
            private: false,
        });
    }

    /// The mounts of one session; private layers go below `scratch`.
    #[must_use]
    pub fn mounts(&self, scratch: &Path) -> Vec<Mount> {
        let kind = |at: usize, private: bool| match private {
            true => MountKind::Private {
                layer: scratch.join(format!("cache-{at}")),
            },
            false => MountKind::ReadOnly,
        };
        self.found
            .iter()
            .enumerate()
            .map(|(at, found)| Mount {
                from: found.from.clone(),
                inside: found.inside.clone(),
                kind: kind(at, found.private),
            })
            .collect()
    }
}

struct Search<'a> {
    env: &'a BTreeMap<String, String>,
    home: PathBuf,
    real_home: PathBuf,
    repository: &'a Path,
    workspace: &'a Path,
    /// The user's search path; entries are replaced by what they mean inside.
    paths: Vec<PathBuf>,
    out: Toolchains,
}

impl Search<'_> {
    fn folder(&self, variable: &str, below_home: &str) -> PathBuf {
        match self.env.get(variable).filter(|value| !value.is_empty()) {
            Some(value) => PathBuf::from(value),
            None => self.home.join(below_home),
        }
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.out.env.insert(name.to_owned(), value.into());
    }

    /// Shows a tool chain at its own path; true when it can be used inside.
    fn show(&mut self, what: &str, from: &Path) -> bool {
        self.add(what, from, from, false)
    }

    /// Shows a cache at a path of the inner home.
    fn cache(&mut self, what: &str, from: &Path, below_home: &str) -> bool {
        self.add(what, from, &Path::new(HOME).join(below_home), true)
    }

    fn add(&mut self, what: &str, from: &Path, inside: &Path, private: bool) -> bool {
        if system(from) && !private {
            return true;
        }
        let Ok(real) = from.canonicalize() else {
            return false;
        };
        let covered = |found: &Found| inside.starts_with(&found.inside);
        if self.out.found.iter().any(covered) {
            return true;
        }
        let overlaps = |other: &Path| other.starts_with(inside) || inside.starts_with(other);
        let reason = if let Some(reason) = self.unfit(from, &real) {
            Some(reason)
        } else if overlaps(self.workspace) || self.out.found.iter().any(|f| overlaps(&f.inside)) {
            Some("its place inside is taken")
        } else {
            None
        };
        if let Some(reason) = reason {
            self.out
                .told
                .push(format!("{what}: {} left out: {reason}", from.display()));
            return false;
        }
        if !private && real.is_dir() {
            for (file, harmless) in credentials::below(&real, credentials::DEPTH) {
                self.out
                    .told
                    .push(format!("{what}: {} is covered", real.join(&file).display()));
                self.out.files.push((inside.join(file), harmless));
            }
        }
        let how = if private { "private copy" } else { "read-only" };
        self.out
            .told
            .push(format!("{what}: {} ({how})", from.display()));
        self.out.found.push(Found {
            from: real,
            inside: inside.to_path_buf(),
            private,
        });
        true
    }

    /// Why a folder must not be shown, judged by where it really is.
    fn unfit(&self, from: &Path, real: &Path) -> Option<&'static str> {
        let plain = from.is_absolute()
            && from
                .components()
                .all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        if !plain {
            return Some("not a plain absolute path");
        }
        if self.real_home.starts_with(real) || self.home.starts_with(real) {
            return Some("it is the home folder or above it");
        }
        if real.components().count() < 3 || real.parent() == Some(Path::new("/home")) {
            return Some("it is a whole home or top folder");
        }
        if ["/proc", "/sys", "/dev", "/run", "/etc"]
            .iter()
            .any(|top| real.starts_with(top))
        {
            return Some("it is part of the system");
        }
        if let Ok(below) = real.strip_prefix(&self.real_home) {
            let first = below.components().next().map(Component::as_os_str);
            let secret = first.is_some_and(|first| SECRET.iter().any(|s| first == *s));
            if secret {
                return Some("secrets are kept there");
            }
            // An active environment directly in the home folder is fine: it says what it is.
            let environment = real.join("pyvenv.cfg").is_file();
            if below.components().count() < 2 && !environment {
                return Some("it is not a named sub-folder");
            }
        }
        if real.is_dir() && CREDENTIALS.iter().any(|name| real.join(name).exists()) {
            return Some("it holds a credential file");
        }
        if !real.is_dir() && from != real && from.file_name() != real.file_name() {
            return Some("it is a link to another file");
        }
        None
    }

    fn rust(&mut self) {
        let cargo = self.folder("CARGO_HOME", ".cargo");
        let rustup = self.folder("RUSTUP_HOME", ".rustup");
        let bin = cargo.join("bin");
        let proxied = self.paths.contains(&bin) && rustup.join("toolchains").is_dir();
        if proxied && self.show("rust", &rustup.join("toolchains")) && self.show("rust", &bin) {
            let settings = rustup.join("settings.toml");
            if settings.is_file() {
                self.show("rust", &settings);
            }
            self.set("RUSTUP_HOME", rustup.to_string_lossy());
            self.set("RUSTUP_AUTO_INSTALL", "0");
            let pinned = ["rust-toolchain", "rust-toolchain.toml"]
                .iter()
                .any(|name| self.repository.join(name).exists());
            let text = std::fs::read_to_string(settings).unwrap_or_default();
            let chosen = self
                .env
                .get("RUSTUP_TOOLCHAIN")
                .cloned()
                .or_else(|| rustup_choice(&text, self.repository));
            if let (false, Some(chosen)) = (pinned, chosen) {
                self.set("RUSTUP_TOOLCHAIN", chosen);
            }
        }
        if self.program("cargo").is_some() {
            self.cache("cargo", &cargo.join("registry"), ".cargo/registry");
            self.cache("cargo", &cargo.join("git"), ".cargo/git");
            self.set("CARGO_HOME", format!("{HOME}/.cargo"));
            self.set("CARGO_NET_OFFLINE", "true");
        }
    }

    fn python(&mut self) {
        let root = self.folder("PYENV_ROOT", ".pyenv");
        let shims = root.join("shims");
        let versions = root.join("versions");
        if self.paths.contains(&shims) && self.show("python", &versions) {
            // Shims are scripts of pyenv that look the version up; the version itself is shorter.
            let chosen = pyenv_versions(self.env, self.repository, &root);
            let bins = chosen.iter().map(|v| versions.join(v).join("bin"));
            let at = self.paths.iter().position(|p| *p == shims).unwrap_or(0);
            self.paths.splice(at..=at, bins);
        }
        if let Some(active) = self.env.get("VIRTUAL_ENV").map(PathBuf::from)
            && let Ok(about) = std::fs::read_to_string(active.join("pyvenv.cfg"))
            && self.show("virtualenv", &active)
        {
            self.set("VIRTUAL_ENV", active.to_string_lossy());
            // Its python is a link to one elsewhere.
            let base = about
                .lines()
                .find_map(|line| line.strip_prefix("home")?.trim().strip_prefix('='))
                .map(|base| PathBuf::from(base.trim()))
                .filter(|base| !system(base));
            if let Some(base) = base {
                if base.starts_with(&versions) {
                    self.show("python", &versions);
                } else if let Ok(real) = base.canonicalize() {
                    self.show_installed(&real);
                }
            }
        }
        let cache = self.folder("PIP_CACHE_DIR", ".cache/pip");
        self.cache("pip", &cache, ".cache/pip");
        self.set("PIP_CACHE_DIR", format!("{HOME}/.cache/pip"));
        self.set("PIP_NO_INDEX", "1");
        if let Some(wheels) = self.env.get("PIP_FIND_LINKS").cloned()
            && Path::new(&wheels).is_dir()
            && self.show("pip", Path::new(&wheels))
        {
            self.set("PIP_FIND_LINKS", wheels);
        }
        self.set("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    }

    /// Entries of the search path that lead into a version manager's folder.
    fn installed(&mut self) {
        for at in 0..self.paths.len() {
            let Some(real) = self.paths.get(at).and_then(|p| p.canonicalize().ok()) else {
                continue;
            };
            if self.show_installed(&real)
                && let Some(entry) = self.paths.get_mut(at)
            {
                *entry = real;
            }
        }
    }

    fn show_installed(&mut self, real: &Path) -> bool {
        let folder = INSTALLED
            .iter()
            .map(|name| self.real_home.join(name))
            .find(|folder| real.starts_with(folder));
        folder.is_some_and(|folder| self.show("tools", &folder))
    }

    /// Programs in a folder of their own, outside of home and system (`/opt/go/bin/go`).
    fn rooted(&mut self) {
        for (name, marker) in ROOTED {
            let Some(program) = self.program(name) else {
                continue;
            };
            let Some(root) = program.parent().and_then(Path::parent) else {
                continue;
            };
            if !system(root) && root.join(marker).exists() && self.show(name, root) {
                self.paths.push(root.join("bin"));
            }
        }
    }

    fn go(&mut self) {
        if self.program("go").is_none() {
            return;
        }
        let path = self.folder("GOPATH", "go");
        let first = path.to_string_lossy().split(':').next().map(PathBuf::from);
        let modules = match self.env.get("GOMODCACHE").filter(|v| !v.is_empty()) {
            Some(value) => PathBuf::from(value),
            None => first.unwrap_or(path).join("pkg/mod"),
        };
        self.cache("go", &modules, "go/pkg/mod");
        self.set("GOPATH", format!("{HOME}/go"));
        self.set("GOMODCACHE", format!("{HOME}/go/pkg/mod"));
        // Without it every sandbox compiles the standard library again.
        let built = self.folder("GOCACHE", ".cache/go-build");
        self.cache("go", &built, ".cache/go-build");
        self.set("GOCACHE", format!("{HOME}/.cache/go-build"));
        self.set("GOPROXY", "off");
        self.set("GOTOOLCHAIN", "local");
        // The history beside the work tree is not the repository's, so it says nothing.
        self.set("GOFLAGS", "-buildvcs=false");
        self.set("GOTELEMETRY", "off");
    }

    fn node(&mut self) {
        if self.program("node").is_none() {
            return;
        }
        let cache = self
            .env
            .get("npm_config_cache")
            .or_else(|| self.env.get("NPM_CONFIG_CACHE"))
            .map_or_else(|| self.home.join(".npm"), PathBuf::from);
        self.cache("npm", &cache.join("_cacache"), ".npm/_cacache");
        for (name, value) in [
            ("npm_config_offline", "true"),
            ("npm_config_audit", "false"),
            ("npm_config_fund", "false"),
            ("npm_config_update_notifier", "false"),
        ] {
            self.set(name, value);
        }
        self.set("npm_config_cache", format!("{HOME}/.npm"));
        if Path::new("/usr/include/node/node.h").exists() {
            self.set("npm_config_nodedir", "/usr");
        }
    }

    fn java(&mut self) {
        if let Some(java) = self.env.get("JAVA_HOME").map(PathBuf::from)
            && let Ok(real) = java.canonicalize()
            && real.join("bin/java").exists()
            && (self.show_installed(&real) || self.show("java", &real))
        {
            self.set("JAVA_HOME", real.to_string_lossy());
        }
        if self.program("mvn").is_none() && !self.repository.join("mvnw").exists() {
            return;
        }
        let maven = self.home.join(".m2");
        self.cache("maven", &maven.join("repository"), ".m2/repository");
        self.cache("maven", &maven.join("wrapper"), ".m2/wrapper");
        // Maven before 3.9 knows no MAVEN_ARGS. The property makes it use what is in the cache
        // whichever mirror it once came from.
        self.set("MAVEN_ARGS", "-o");
        self.set(
            "MAVEN_OPTS",
            "-Daether.enhancedLocalRepository.trackingFilename=none",
        );
        self.out.files.push((
            Path::new(HOME).join(".m2/settings.xml"),
            b"<settings><offline>true</offline></settings>\n".to_vec(),
        ));
    }

    /// A program on the user's search path, where it really is.
    fn program(&self, name: &str) -> Option<PathBuf> {
        self.paths
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())?
            .canonicalize()
            .ok()
    }

    /// The user's order, as far as it can be reached inside; then the system's.
    fn search_path(&mut self) {
        let mut entries: Vec<PathBuf> = Vec::new();
        let known = PATH.split(':').map(PathBuf::from);
        for path in std::mem::take(&mut self.paths).into_iter().chain(known) {
            let shown = system(&path) || self.out.found.iter().any(|f| path.starts_with(&f.inside));
            let writable = path.to_string_lossy().contains(':') || !path.is_absolute();
            if shown && !writable && !entries.contains(&path) {
                entries.push(path);
            }
        }
        let entries: Vec<_> = entries.iter().map(|p| p.to_string_lossy()).collect();
        self.out.path = entries.join(":");
        let path = self.out.path.clone();
        self.set("PATH", path);
    }
}

/// Shown in every sandbox.
fn system(path: &Path) -> bool {
    SYSTEM.iter().any(|top| path.starts_with(top))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Home {
        folder: tempfile::TempDir,
        env: BTreeMap<String, String>,
    }

    impl Home {
        fn new(path: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().canonicalize().unwrap().join("u");
            fs::create_dir(&home).unwrap();
            let path: Vec<String> = path
                .iter()
                .map(|p| match p.strip_prefix("~/") {
                    Some(below) => home.join(below).display().to_string(),
                    None => (*p).to_owned(),
                })
                .collect();
            let env = BTreeMap::from([
                ("HOME".to_owned(), home.display().to_string()),
                ("PATH".to_owned(), path.join(":")),
            ]);
            Self { folder, env }
        }

        fn home(&self) -> PathBuf {
            PathBuf::from(&self.env["HOME"])
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.home().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn find(&self) -> Toolchains {
            find(&self.env, &self.home().join("project"), Path::new("/work"))
        }

        fn told(&self) -> String {
            let all: Vec<_> = self.find().told;
            all.join("\n").replace(&self.env["HOME"], "~")
        }

        fn shown(&self) -> Vec<PathBuf> {
            self.find().found.into_iter().map(|f| f.from).collect()
        }
    }

    fn rust() -> Home {
        let home = Home::new(&["~/.cargo/bin", "/usr/bin"]);
        home.write(".cargo/bin/cargo", "");
        home.write(".cargo/registry/cache/x", "");
        home.write(".cargo/credentials.toml", "token");
        home.write(".rustup/toolchains/stable-x/bin/rustc", "");
        home.write(
            ".rustup/settings.toml",
            "default_toolchain = \"stable-x\"\n\n[overrides]\n",
        );
        home
    }

    #[test]
    fn rust_is_found_without_its_credentials() {
        let home = rust();
        insta::assert_snapshot!(home.told(), @r"
        rust: ~/.rustup/toolchains (read-only)
        rust: ~/.cargo/bin (read-only)
        rust: ~/.rustup/settings.toml (read-only)
        cargo: ~/.cargo/registry (private copy)
        ");
        let found = home.find();
        assert_eq!(found.env["RUSTUP_TOOLCHAIN"], "stable-x");
        assert_eq!(found.env["CARGO_HOME"], "/home/agent/.cargo");
        for mount in found.mounts(Path::new("/scratch")) {
            assert!(
                !home
                    .home()
                    .join(".cargo/credentials.toml")
                    .starts_with(&mount.from)
            );
        }
    }

    #[test]
    fn the_repository_s_pin_wins_over_the_user_s_choice() {
        let mut home = rust();
        home.env.insert("RUSTUP_TOOLCHAIN".into(), "nightly".into());
        assert_eq!(home.find().env["RUSTUP_TOOLCHAIN"], "nightly");
        home.write("project/rust-toolchain.toml", "[toolchain]\n");
        assert_eq!(home.find().env.get("RUSTUP_TOOLCHAIN"), None);
    }

    #[test]
    fn an_override_of_the_nearest_folder_is_the_user_s_choice() {
        let settings = "default_toolchain = \"stable\"\n[overrides]\n\"/a\" = \"beta\"\n\"/a/b\" = \"nightly\"\n";
        let choice = |path: &str| rustup_choice(settings, Path::new(path)).unwrap();
        assert_eq!(choice("/a/b/c"), "nightly");
        assert_eq!(choice("/a/x"), "beta");
        assert_eq!(choice("/ab"), "stable");
    }

    #[test]
    fn no_home_folder_and_no_secret_is_shown_through_a_link_or_a_variable() {
        let home = rust();
        home.write(".ssh/id", "secret");
        home.write(".config/gh/hosts.yml", "secret");
        home.write(".m2/settings.xml", "secret");
        home.write("mvn-bin/mvn", "");
        let own = home.home();
        let registry = own.join(".cargo/registry");
        let above = home.folder.path().canonicalize().unwrap();
        for target in [
            own.clone(),
            above,
            "/".into(),
            "/home".into(),
            "/etc/ssl".into(),
            "/proc/self".into(),
            own.join(".ssh"),
            own.join(".config/gh"),
            own.join(".cargo"),
            own.join(".m2"),
        ] {
            fs::remove_dir_all(&registry)
                .or_else(|_| fs::remove_file(&registry))
                .unwrap();
            symlink(&target, &registry).unwrap();
            let shown = home.shown();
            assert!(!shown.contains(&target), "{}", target.display());
            let all = home.find().told.join("\n");
            assert!(all.contains("/.cargo/registry left out: "), "{all}");
        }
        for (name, value) in [
            ("CARGO_HOME", ""),
            ("RUSTUP_HOME", "/"),
            ("GOMODCACHE", "~"),
            ("PIP_CACHE_DIR", "~"),
            ("VIRTUAL_ENV", "~"),
            ("JAVA_HOME", "~"),
            ("PYENV_ROOT", "/.."),
            ("npm_config_cache", ".."),
        ] {
            let mut other = rust();
            other.write("pyvenv.cfg", "home = /usr/bin\n");
            other.write("bin/java", "");
            let value = value.replace('~', &other.env["HOME"]);
            other.env.insert(name.into(), value);
            for from in other.shown() {
                assert!(
                    !other.home().starts_with(&from),
                    "{name}: {}",
                    from.display()
                );
                assert!(
                    !other
                        .home()
                        .join(".cargo/credentials.toml")
                        .starts_with(&from)
                );
            }
        }
    }

    #[test]
    fn pyenv_shims_become_the_chosen_version() {
        let home = Home::new(&["~/.pyenv/shims", "/usr/bin"]);
        for version in ["3.9.1", "3.11.7", "3.12.1", "3.12.10"] {
            home.write(&format!(".pyenv/versions/{version}/bin/python"), "");
        }
        home.write(".pyenv/shims/python", "");
        home.write(".pyenv/version", "3.11.7\n3.9.1\n");
        let path = |home: &Home| home.find().path.replace(&home.env["HOME"], "~");
        assert_eq!(
            path(&home),
            "~/.pyenv/versions/3.11.7/bin:~/.pyenv/versions/3.9.1/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin"
        );
        home.write("project/.python-version", "3.12\n");
        assert!(path(&home).starts_with("~/.pyenv/versions/3.12.10/bin:/usr/bin"));
    }

    #[test]
    fn version_managers_and_an_active_environment_are_found_through_the_path() {
        let mut home = Home::new(&[
            "~/project/.venv/bin",
            "~/.nvm/versions/node/v22/bin",
            "~/.local/bin",
        ]);
        home.write(".nvm/versions/node/v22/bin/node", "");
        home.write(".local/bin/tool", "");
        home.write("project/.venv/pyvenv.cfg", "home = /usr/bin\n");
        let venv = home.home().join("project/.venv");
        home.env
            .insert("VIRTUAL_ENV".into(), venv.display().to_string());
        insta::assert_snapshot!(home.told(), @r"
        virtualenv: ~/project/.venv (read-only)
        tools: ~/.nvm/versions (read-only)
        ");
        let path = home.find().path.replace(&home.env["HOME"], "~");
        assert!(
            path.starts_with("~/project/.venv/bin:~/.nvm/versions/node/v22/bin:/usr/local/sbin")
        );
        assert!(!path.contains(".local/bin:"), "{path}");
    }
}
