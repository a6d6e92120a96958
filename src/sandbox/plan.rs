//! Pure: what a session needs + what the host looks like → what the inner process has to do.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::host::{Entry, Host, SYSTEM};
use super::{HOME, Limits, Method, MountKind, SandboxError, Spec};

/// Most bytes of [`Spec::files`] together.
const MAX_FILE_BYTES: usize = 1 << 20;

/// Where lowers and layers are mounted while overlays are made from them: outside the new root.
/// Short names of ours, so that no host path needs quoting and none shows in `mountinfo`.
pub(super) const STAGING: &str = "/tmp";

/// Where the new root is built.
pub(super) const ROOT: &str = "/tmp/root";

/// Device nodes that are safe to share.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Parts of `/proc` that tell about the host or change it. Root of the namespace has no power over
/// most of them; covering them does not depend on that.
pub(super) const PROC_COVERED: [&str; 16] = [
    "acpi",
    "asound",
    "bus",
    "config.gz",
    "fs",
    "interrupts",
    "irq",
    "kallsyms",
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "sysrq-trigger",
    "timer_list",
];

/// Everything that the inner process mounts, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Host paths, opened before anything else changes; steps name them by position.
    pub(super) sources: Vec<Source>,
    /// Carried out one after the other; their paths are relative to the new root.
    pub(super) steps: Vec<Step>,
    /// Absolute paths inside where Landlock allows writing.
    pub(super) writable: Vec<OsString>,
}

/// A host path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    /// Absolute.
    pub(super) path: OsString,
    /// What may be done with it inside.
    pub(super) access: Access,
    /// Whether its owner is shown as the session's slot (as root only).
    pub(super) owner: Owner,
}

/// What may be done with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Access {
    /// Reading and running.
    ReadOnly,
    /// Also writing.
    Writable,
    /// One device node.
    Device,
}

/// Whose a source looks like inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Owner {
    /// As on the host.
    Kept,
    /// The session's, where the file system can; else as on the host.
    Preferred,
    /// The session's; the plan fails where the file system cannot.
    Required,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// A folder and its parents.
    Folder(OsString),
    /// A symbolic link.
    Link { path: OsString, to: OsString },
    /// A small file.
    File { path: OsString, bytes: Vec<u8> },
    /// A small file over one that a mount shows.
    Cover { path: OsString, bytes: Vec<u8> },
    /// A folder in memory.
    Memory {
        path: OsString,
        mode: u32,
        bytes: u64,
        files: u64,
    },
    /// A source; the mount point is made.
    Bind { source: usize, path: OsString },
    /// An overlay of sources, the topmost first, over the `upper` of a layer.
    Overlay {
        lowers: Vec<usize>,
        layer: usize,
        path: OsString,
    },
    /// A fresh `/proc` of the new process namespace with parts covered.
    Proc,
    /// This mount is written to no more.
    Seal(OsString),
}

/// The plan. `method` is Overlay or Copy. Fails with [`SandboxError::Spec`] only.
pub(super) fn plan(spec: &Spec, method: Method, host: &Host) -> Result<Plan, SandboxError> {
    check(spec)?;
    let mut plan = Plan {
        sources: Vec::new(),
        steps: Vec::new(),
        writable: ["/tmp", "/dev", "/proc", HOME].map(OsString::from).into(),
    };
    plan.system(host);
    plan.devices(spec.limits);
    plan.memory("/tmp", 0o1777, spec.limits.memory_bytes / 2);
    plan.memory(HOME, 0o700, spec.limits.memory_bytes / 2);

    let workspace = &spec.workspace;
    plan.tree(
        &workspace.lowers,
        &workspace.layer,
        &workspace.inside,
        method,
    );
    // Read-only mounts come in the order given; none lies inside another, so order is free.
    for mount in &spec.mounts {
        match &mount.kind {
            MountKind::ReadOnly => {
                let source = plan.source(&mount.from, Access::ReadOnly, Owner::Preferred);
                plan.steps.push(Step::Bind {
                    source,
                    path: relative(&mount.inside),
                });
            }
            MountKind::Private { layer } => plan.tree(
                std::slice::from_ref(&mount.from),
                layer,
                &mount.inside,
                method,
            ),
        }
    }
    for (path, bytes) in &spec.files {
        let (path_inside, bytes) = (relative(path), bytes.clone());
        let shown = spec
            .mounts
            .iter()
            .any(|mount| path.starts_with(&mount.inside));
        plan.steps.push(match shown {
            true => Step::Cover {
                path: path_inside,
                bytes,
            },
            false => Step::File {
                path: path_inside,
                bytes,
            },
        });
    }
    plan.steps.push(Step::Proc);
    plan.steps.push(Step::Seal(OsString::from(".")));
    Ok(plan)
}

impl Plan {
    fn source(&mut self, path: &Path, access: Access, owner: Owner) -> usize {
        self.sources.push(Source {
            path: path.as_os_str().to_owned(),
            access,
            owner,
        });
        self.sources.len() - 1
    }

    fn memory(&mut self, path: &str, mode: u32, bytes: u64) {
        self.steps.push(Step::Memory {
            path: relative(Path::new(path)),
            mode,
            bytes,
            // A file in memory costs about a kilobyte besides its content.
            files: (bytes >> 12).clamp(1024, 1_000_000),
        });
    }

    fn system(&mut self, host: &Host) {
        for (path, entry) in &host.entries {
            match entry {
                Entry::Link(to) => self.steps.push(Step::Link {
                    path: relative(path),
                    to: to.as_os_str().to_owned(),
                }),
                Entry::Node => {
                    let source = self.source(path, Access::ReadOnly, Owner::Kept);
                    self.steps.push(Step::Bind {
                        source,
                        path: relative(path),
                    });
                }
            }
        }
        let files = [
            (
                "etc/passwd",
                format!(
                    "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nagent:x:1000:1000:agent:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
                ),
            ),
            (
                "etc/group",
                "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n".to_owned(),
            ),
            (
                "etc/hosts",
                "127.0.0.1 localhost sandbox\n::1 localhost\n".to_owned(),
            ),
            ("etc/hostname", "sandbox\n".to_owned()),
            (
                "etc/nsswitch.conf",
                "passwd: files\ngroup: files\nhosts: files\n".to_owned(),
            ),
            ("etc/resolv.conf", String::new()),
        ];
        for (path, text) in files {
            self.steps.push(Step::File {
                path: path.into(),
                bytes: text.into_bytes(),
            });
        }
        for (path, bytes) in &host.covered {
            self.steps.push(Step::Cover {
                path: relative(path),
                bytes: bytes.clone(),
            });
        }
        for path in ["run", "var/empty", "home"] {
            self.steps.push(Step::Folder(path.into()));
        }
        self.steps.push(Step::Link {
            path: "var/tmp".into(),
            to: "/tmp".into(),
        });
    }

    fn devices(&mut self, limits: Limits) {
        self.memory("/dev", 0o755, 1 << 16);
        for name in DEVICES {
            let source = self.source(&Path::new("/dev").join(name), Access::Device, Owner::Kept);
            self.steps.push(Step::Bind {
                source,
                path: format!("dev/{name}").into(),
            });
        }
        for (name, to) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            self.steps.push(Step::Link {
                path: format!("dev/{name}").into(),
                to: to.into(),
            });
        }
        self.memory("/dev/shm", 0o1777, limits.memory_bytes / 4);
        self.steps.push(Step::Seal("dev".into()));
    }

    fn tree(&mut self, lowers: &[PathBuf], layer: &Path, inside: &Path, method: Method) {
        let path = relative(inside);
        let step = if method == Method::Copy {
            Step::Bind {
                source: self.source(&layer.join("upper"), Access::Writable, Owner::Kept),
                path,
            }
        } else {
            Step::Overlay {
                lowers: lowers
                    .iter()
                    .map(|lower| self.source(lower, Access::ReadOnly, Owner::Required))
                    .collect(),
                layer: self.source(layer, Access::Writable, Owner::Kept),
                path,
            }
        };
        self.steps.push(step);
        self.writable.push(inside.as_os_str().to_owned());
    }
}

fn relative(inside: &Path) -> OsString {
    inside
        .strip_prefix("/")
        .unwrap_or(inside)
        .as_os_str()
        .to_owned()
}

fn check(spec: &Spec) -> Result<(), SandboxError> {
    if spec.workspace.lowers.is_empty() {
        return Err(SandboxError::Spec(
            "the workspace has no folder to show".to_owned(),
        ));
    }
    let mut taken: Vec<&Path> = Vec::new();
    for inside in
        std::iter::once(&spec.workspace.inside).chain(spec.mounts.iter().map(|m| &m.inside))
    {
        check_inside(inside)?;
        if let Some(other) = taken
            .iter()
            .find(|t| t.starts_with(inside) || inside.starts_with(t))
        {
            return Err(SandboxError::Spec(format!(
                "{} and {} would lie inside each other",
                inside.display(),
                other.display()
            )));
        }
        taken.push(inside);
    }
    for (path, _) in &spec.files {
        check_inside(path)?;
        let written = std::iter::once(&spec.workspace.inside).chain(
            spec.mounts
                .iter()
                .filter(|m| m.kind != MountKind::ReadOnly)
                .map(|m| &m.inside),
        );
        if written.into_iter().any(|t| path.starts_with(t)) {
            return Err(SandboxError::Spec(format!(
                "the file {} would lie inside a folder that is written to",
                path.display()
            )));
        }
    }
    let total: usize = spec.files.iter().map(|(_, bytes)| bytes.len()).sum();
    if total > MAX_FILE_BYTES {
        return Err(SandboxError::Spec(format!(
            "{total} bytes of files, more than {MAX_FILE_BYTES}"
        )));
    }
    let hosts = std::iter::once(&spec.workspace.layer)
        .chain(&spec.workspace.lowers)
        .chain(spec.mounts.iter().flat_map(|m| {
            std::iter::once(&m.from).chain(match &m.kind {
                MountKind::ReadOnly => None,
                MountKind::Private { layer } => Some(layer),
            })
        }));
    for path in hosts {
        if !path.is_absolute() || has_nul(path) {
            return Err(SandboxError::Spec(format!(
                "host path {} is not absolute",
                path.display()
            )));
        }
    }
    let layer = &spec.workspace.layer;
    if let Some(lower) = spec
        .workspace
        .lowers
        .iter()
        .find(|lower| layer.starts_with(lower) || lower.starts_with(layer.join("work")))
    {
        return Err(SandboxError::Spec(format!(
            "the layer {} and {} lie inside each other",
            layer.display(),
            lower.display()
        )));
    }
    if spec.limits.memory_bytes < 16 << 20 || spec.limits.pids < 4 || spec.limits.cpu_millis < 10 {
        return Err(SandboxError::Spec(
            "limits below 16 MiB of memory, 4 processes or 10 thousandths of a processor start nothing"
                .to_owned(),
        ));
    }
    Ok(())
}

/// A path inside is plain, and hides nothing that the sandbox itself puts there.
fn check_inside(path: &Path) -> Result<(), SandboxError> {
    let plain = path.is_absolute()
        && !has_nul(path)
        && path
            .components()
            .skip(1)
            .all(|c| matches!(c, Component::Normal(_)))
        && path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
    let own = SYSTEM
        .iter()
        .chain(&["/etc", "/proc", "/dev", "/sys", "/var/tmp", "/.s"])
        .any(|own| path.starts_with(own));
    let hides = [HOME, "/tmp", "/var/tmp", "/etc"]
        .iter()
        .any(|own| Path::new(own).starts_with(path));
    if !plain || own || hides {
        return Err(SandboxError::Spec(format!(
            "{} cannot be a path inside",
            path.display()
        )));
    }
    Ok(())
}

fn has_nul(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Mount, Workspace};
    use std::collections::BTreeMap;

    fn spec() -> Spec {
        Spec {
            workspace: Workspace {
                lowers: vec!["/cache/delta".into(), "/cache/commit".into()],
                layer: "/scratch/layer".into(),
                inside: "/work".into(),
                method: Method::Auto,
            },
            mounts: vec![
                Mount {
                    from: "/root/.rustup/toolchains".into(),
                    inside: "/root/.rustup/toolchains".into(),
                    kind: MountKind::ReadOnly,
                },
                Mount {
                    from: "/root/.cargo/registry".into(),
                    inside: "/root/.cargo/registry".into(),
                    kind: MountKind::Private {
                        layer: "/scratch/cargo".into(),
                    },
                },
            ],
            env: BTreeMap::new(),
            limits: Limits::default(),
            files: vec![
                ("/prentice/brief.json".into(), b"{}".to_vec()),
                ("/root/.rustup/toolchains/x/etc/npmrc".into(), Vec::new()),
            ],
        }
    }

    fn host() -> Host {
        Host {
            entries: vec![
                ("/usr".into(), Entry::Node),
                ("/bin".into(), Entry::Link("usr/bin".into())),
                ("/etc/ld.so.cache".into(), Entry::Node),
            ],
            covered: vec![("/usr/local/etc/npmrc".into(), Vec::new())],
        }
    }

    fn told(plan: &Plan) -> String {
        let source = |i: &usize| {
            let s = &plan.sources[*i];
            format!("{}:{:?}:{:?}", s.path.display(), s.access, s.owner)
        };
        plan.steps
            .iter()
            .map(|step| match step {
                Step::Folder(p) => format!("folder {}\n", p.display()),
                Step::Link { path, to } => format!("link {} -> {}\n", path.display(), to.display()),
                Step::File { path, bytes } => {
                    format!("file {} ({})\n", path.display(), bytes.len())
                }
                Step::Cover { path, bytes } => {
                    format!("cover {} ({})\n", path.display(), bytes.len())
                }
                Step::Memory {
                    path,
                    mode,
                    bytes,
                    files,
                } => {
                    format!("memory {} {mode:o} {bytes} {files}\n", path.display())
                }
                Step::Bind { source: s, path } => {
                    format!("bind {} <- {}\n", path.display(), source(s))
                }
                Step::Overlay {
                    lowers,
                    layer,
                    path,
                } => format!(
                    "overlay {} <- {} | {}\n",
                    path.display(),
                    source(layer),
                    lowers.iter().map(source).collect::<Vec<_>>().join(" | ")
                ),
                Step::Proc => "proc\n".to_owned(),
                Step::Seal(p) => format!("seal {}\n", p.display()),
            })
            .collect()
    }

    #[test]
    fn a_plan_is_data_in_a_fixed_order() {
        let plan = plan(&spec(), Method::Overlay, &host()).unwrap();
        insta::assert_snapshot!(told(&plan), @r"
        bind usr <- /usr:ReadOnly:Kept
        link bin -> usr/bin
        bind etc/ld.so.cache <- /etc/ld.so.cache:ReadOnly:Kept
        file etc/passwd (150)
        file etc/group (41)
        file etc/hosts (42)
        file etc/hostname (8)
        file etc/nsswitch.conf (40)
        file etc/resolv.conf (0)
        cover usr/local/etc/npmrc (0)
        folder run
        folder var/empty
        folder home
        link var/tmp -> /tmp
        memory dev 755 65536 1024
        bind dev/null <- /dev/null:Device:Kept
        bind dev/zero <- /dev/zero:Device:Kept
        bind dev/full <- /dev/full:Device:Kept
        bind dev/random <- /dev/random:Device:Kept
        bind dev/urandom <- /dev/urandom:Device:Kept
        link dev/fd -> /proc/self/fd
        link dev/stdin -> /proc/self/fd/0
        link dev/stdout -> /proc/self/fd/1
        link dev/stderr -> /proc/self/fd/2
        memory dev/shm 1777 1073741824 262144
        seal dev
        memory tmp 1777 2147483648 524288
        memory home/agent 700 2147483648 524288
        overlay work <- /scratch/layer:Writable:Kept | /cache/delta:ReadOnly:Required | /cache/commit:ReadOnly:Required
        bind root/.rustup/toolchains <- /root/.rustup/toolchains:ReadOnly:Preferred
        overlay root/.cargo/registry <- /scratch/cargo:Writable:Kept | /root/.cargo/registry:ReadOnly:Required
        file prentice/brief.json (2)
        cover root/.rustup/toolchains/x/etc/npmrc (0)
        proc
        seal .
        ");
        assert_eq!(
            plan.writable,
            [
                "/tmp",
                "/dev",
                "/proc",
                HOME,
                "/work",
                "/root/.cargo/registry"
            ]
        );
    }

    #[test]
    fn a_copy_binds_the_layer_and_nothing_else_of_the_lowers() {
        let told = told(&plan(&spec(), Method::Copy, &host()).unwrap());
        assert!(told.contains("bind work <- /scratch/layer/upper:Writable:Kept\n"));
        assert!(!told.contains("/cache/commit"), "{told}");
        assert!(!told.contains("overlay"), "{told}");
    }

    #[test]
    fn paths_inside_hide_nothing_of_ours_and_do_not_nest() {
        let at = |inside: &str| {
            let mut spec = spec();
            spec.workspace.inside = inside.into();
            plan(&spec, Method::Overlay, &host()).map(|_| ())
        };
        for good in [
            "/work",
            "/home/dev/project",
            "/home/agent/project",
            "/tmp/x",
        ] {
            at(good).unwrap();
        }
        for bad in [
            "/",
            "work",
            "/work/",
            "/work/..",
            "/a//b",
            "/a/./b",
            "/usr/local/x",
            "/bin",
            "/etc/x",
            "/proc/x",
            "/dev",
            "/home",
            "/home/agent",
            "/tmp",
            "/.s/0",
            "/a\0b",
            "/root/.cargo",
            "/root/.cargo/registry/src",
            "/prentice",
        ] {
            let error = at(bad).expect_err(bad);
            assert!(matches!(error, SandboxError::Spec(_)), "{bad}: {error}");
        }
    }

    #[test]
    fn impossible_specifications_are_refused_before_anything_is_made() {
        let refused = |change: fn(&mut Spec)| {
            let mut spec = spec();
            change(&mut spec);
            plan(&spec, Method::Overlay, &host())
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(refused(|s| s.workspace.lowers.clear()), @"sandbox specification: the workspace has no folder to show");
        insta::assert_snapshot!(refused(|s| s.files.push(("/big".into(), vec![0; MAX_FILE_BYTES]))), @"sandbox specification: 1048578 bytes of files, more than 1048576");
        insta::assert_snapshot!(refused(|s| s.workspace.layer = "layer".into()), @"sandbox specification: host path layer is not absolute");
        insta::assert_snapshot!(refused(|s| s.workspace.layer = "/cache/commit/layer".into()), @"sandbox specification: the layer /cache/commit/layer and /cache/commit lie inside each other");
        insta::assert_snapshot!(refused(|s| s.limits.pids = 1), @"sandbox specification: limits below 16 MiB of memory, 4 processes or 10 thousandths of a processor start nothing");
        insta::assert_snapshot!(refused(|s| s.mounts.push(s.mounts[0].clone())), @"sandbox specification: /root/.rustup/toolchains and /root/.rustup/toolchains would lie inside each other");
    }
}
