//! What an operator installs: the unit, the image, the composition.
//!
//! No service manager and no container engine runs where tests run. The unit is judged by
//! systemd's own tools, and its walls are built by hand, from its own lines, around a real run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::sandbox::helper;
use crate::skip::skipped;

/// Exposure that systemd may find at most, in tenths.
const EXPOSURE: &str = "30";

fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// Settings of the unit's service, in order; what is set twice is there twice.
fn settings(unit: &str) -> Vec<(String, String)> {
    let service = unit.split("[Service]").nth(1).unwrap();
    let service = service.split("\n[").next().unwrap();
    let lines = service.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn value(unit: &str, key: &str) -> Option<String> {
    let all = settings(unit);
    all.into_iter()
        .rev()
        .find(|(k, _)| k == key)
        .map(|(_, v)| v)
}

fn is_on(unit: &str, key: &str) -> bool {
    value(unit, key).is_some_and(|v| !matches!(v.as_str(), "no" | "false" | "off" | "0" | ""))
}

fn systemd_analyze(words: &[&str]) -> Option<Output> {
    Command::new("systemd-analyze").args(words).output().ok()
}

/// The unit beside a program that exists, as systemd wants to see it.
fn placed(unit: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::Builder::new()
        .prefix("prentice-unit-")
        .tempdir()
        .unwrap();
    let file = folder.path().join("prentice.service");
    let program = helper().display().to_string();
    fs::write(&file, unit.replace("/usr/local/bin/prentice", &program)).unwrap();
    (folder, file.display().to_string())
}

#[test]
fn systemd_finds_no_fault_in_the_unit_and_little_exposure() {
    let unit = deployed("prentice.service");
    let (_folder, file) = placed(&unit);
    let Some(verified) = systemd_analyze(&["verify", "--man=no", &file]) else {
        skipped(
            "the unit",
            "systemd-analyze is not installed; apt-get install systemd",
        );
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success(), "{said}");
    assert_eq!(said, "", "systemd warns");
    let threshold = format!("--threshold={EXPOSURE}");
    let judge = |file: &str| {
        systemd_analyze(&["security", "--no-pager", "--offline=true", &threshold, file]).unwrap()
    };
    let judged = judge(&file);
    let table = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(judged.status.success(), "{table}");
    // A unit with fewer walls is above it.
    let weaker = unit
        .replace("SystemCallFilter=", "#")
        .replace("PrivateDevices=yes", "");
    let (_folder, file) = placed(&weaker);
    assert!(!judge(&file).status.success());
    let line = table
        .lines()
        .find(|line| line.contains("Overall exposure"))
        .unwrap();
    println!("{line}");
}

#[test]
fn the_unit_shows_secrets_to_the_service_alone_and_leaves_the_sandbox_what_it_needs() {
    let unit = deployed("prentice.service");
    let all = settings(&unit);
    let loaded: Vec<&str> = all
        .iter()
        .filter(|(key, _)| key == "LoadCredential")
        .map(|(_, v)| v.split(':').next().unwrap())
        .collect();
    assert_eq!(loaded, ["main-token", "main-webhook-secret"]);
    let named = all
        .iter()
        .filter(|(key, v)| key == "Environment" && v.contains("_FILE="));
    let named: Vec<&str> = named
        .map(|(_, v)| v.split("=%d/").nth(1).unwrap())
        .collect();
    assert_eq!(named, loaded, "each is named by a variable");
    for (_, v) in all.iter().filter(|(key, _)| key == "Environment") {
        let (name, _) = v.split_once('=').unwrap();
        assert!(
            name == "PATH" || name.ends_with("_FILE"),
            "{name} would be readable by everybody"
        );
    }
    for on in [
        "DynamicUser",
        "NoNewPrivileges",
        "ProtectHome",
        "PrivateTmp",
        "ProtectKernelModules",
    ] {
        assert!(is_on(&unit, on), "{on}");
    }
    assert_eq!(value(&unit, "ProtectSystem").as_deref(), Some("strict"));
    assert_eq!(value(&unit, "CapabilityBoundingSet").as_deref(), Some(""));
    for off in [
        "RestrictNamespaces",
        "ProtectHostname",
        "ProtectKernelTunables",
        "ProtectKernelLogs",
        "PrivateUsers",
        "MemoryDenyWriteExecute",
    ] {
        let set = unit.lines().position(|line| line.starts_with(off)).unwrap();
        assert!(!is_on(&unit, off), "{off} breaks sandboxes");
        let before = unit.lines().nth(set - 1).unwrap();
        let told = before.starts_with('#') || before.starts_with("Protect");
        assert!(told, "{off} does not say why it is off: {before}");
    }
    assert_eq!(value(&unit, "OOMPolicy").as_deref(), Some("continue"));
}

/// Numbers of system calls by name, from the headers of the C library.
fn numbers() -> Option<BTreeMap<String, i64>> {
    let places = [
        "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "/usr/include/asm/unistd_64.h",
    ];
    let text = places
        .iter()
        .find_map(|place| fs::read_to_string(place).ok())?;
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define __NR_"));
    let pairs = lines.filter_map(|line| line.split_once(' '));
    Some(
        pairs
            .filter_map(|(name, n)| Some((name.to_owned(), n.trim().parse().ok()?)))
            .collect(),
    )
}

/// The calls that the unit allows, its groups resolved by systemd.
fn allowed(unit: &str) -> BTreeSet<String> {
    let mut todo: Vec<String> = value(unit, "SystemCallFilter")
        .unwrap()
        .split(' ')
        .map(str::to_owned)
        .collect();
    // systemd always allows what starts a program and ends it.
    todo.push("@default".to_owned());
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if !seen.insert(name.clone()) || !name.starts_with('@') {
            continue;
        }
        let listed = systemd_analyze(&["--no-pager", "syscall-filter", &name]).unwrap();
        assert!(listed.status.success(), "{name} is no group");
        let text = String::from_utf8(listed.stdout).unwrap();
        let members = text.lines().filter(|line| line.starts_with("    "));
        todo.extend(
            members
                .map(|line| line.trim().to_owned())
                .filter(|m| !m.starts_with('#')),
        );
    }
    seen.retain(|name| !name.starts_with('@'));
    if is_on(unit, "ProtectHostname") {
        seen.remove("sethostname");
    }
    seen
}

/// The unit's filters of system calls and address families, as the kernel takes it.
fn filters(unit: &str) -> Option<Vec<seccompiler::BpfProgram>> {
    use seccompiler::{
        SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };
    let numbers = numbers()?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for name in allowed(unit) {
        if let Some(number) = numbers.get(&name) {
            rules.insert(*number, Vec::new());
        }
    }
    let families = value(unit, "RestrictAddressFamilies").unwrap();
    let families = families.split(' ').map(|family| match family {
        "AF_UNIX" => 1,
        "AF_INET" => 2,
        "AF_INET6" => 10,
        other => panic!("{other}"),
    });
    let of = |family| {
        let is = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family);
        SeccompRule::new(vec![is.unwrap()]).unwrap()
    };
    rules.insert(numbers["socket"], families.map(of).collect());
    // EPERM, as the unit says; what systemd does not know it answers with ENOSYS, and nothing here needs that.
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(1),
        SeccompAction::Allow,
        seccompiler::TargetArch::x86_64,
    );
    let mut filters = vec![filter.unwrap().try_into().unwrap()];
    if is_on(unit, "RestrictNamespaces") {
        // A filter cannot see the flags of clone3, so systemd says that there is none.
        let none = SeccompFilter::new(
            BTreeMap::from([(numbers["clone3"], Vec::new())]),
            SeccompAction::Allow,
            SeccompAction::Errno(38),
            seccompiler::TargetArch::x86_64,
        );
        filters.push(none.unwrap().try_into().unwrap());
    }
    Some(filters)
}

/// The file system that the unit gives, made by mounts; then the program without root.
const WALLS: &str = r#"
set -e
mount --make-rprivate /
if [ -n "$HOMES" ]; then
    for d in /home /root /run/user; do
        if [ -d $d ]; then mount -t tmpfs -o ro,mode=755 tmpfs $d; fi
    done
fi
mount --bind "$W/state" "$W/state"
mount --bind "$W/run" "$W/run"
if [ -n "$DEVICES" ]; then
    mount -t tmpfs -o mode=755,nosuid,noexec tmpfs "$W/dev"
    for n in null zero full random urandom tty; do
        touch "$W/dev/$n"
        mount --bind "/dev/$n" "$W/dev/$n"
    done
    ln -s /proc/self/fd "$W/dev/fd"
    mount --rbind "$W/dev" /dev
fi
if [ -n "$STRICT" ]; then
    awk '{print $5}' /proc/self/mountinfo | while read -r m; do
        case $m in
            /proc* | /sys* | /dev* | "$W/dev"* | "$W/state" | "$W/run") ;;
            *) mount -o remount,bind,ro "$m" 2>/dev/null || : ;;
        esac
    done
    if touch /usr/planted 2>/dev/null; then echo 'the system is writable'; exit 90; fi
fi
if [ -n "$PROC" ]; then mount -t proc -o "nosuid,nodev,noexec,hidepid=$PROC" proc /proc; fi
if [ -n "$TUNABLES" ]; then
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
fi
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
    env -i PATH=/usr/local/bin:/usr/bin:/bin STATE_DIRECTORY="$W/state" RUNTIME_DIRECTORY="$W/run" "$@"
"#;

/// Runs the program behind the walls of `unit`; `None`, told as skipped, where they cannot be built.
#[expect(
    unsafe_code,
    reason = "a filter is set between fork and exec, as systemd does"
)]
fn behind(unit: &str, words: &[&str]) -> Option<Output> {
    if !crate::sandbox::is_root() {
        skipped("the walls of the unit", "takes root");
        return None;
    }
    let Some(filters) = cfg!(target_arch = "x86_64")
        .then(|| filters(unit))
        .flatten()
    else {
        skipped(
            "the walls of the unit",
            "takes systemd-analyze and the headers of libc on x86-64",
        );
        return None;
    };
    let folder = tempfile::Builder::new()
        .prefix("prentice-unit-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["state", "run", "dev"] {
        fs::create_dir(path(name)).unwrap();
        fs::set_permissions(path(name), PermissionsExt::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(path(name), Some(65534), Some(65534)).unwrap();
    }
    fs::copy(helper(), path("prentice")).unwrap();
    fs::set_permissions(path("prentice"), PermissionsExt::from_mode(0o755)).unwrap();
    let on = |key: &str| if is_on(unit, key) { "1" } else { "" };
    let strict = value(unit, "ProtectSystem").as_deref() == Some("strict");
    let hidden = value(unit, "ProtectProc").is_some_and(|v| v == "invisible");
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", WALLS, "walls"])
        .arg(path("prentice"))
        .args(words)
        .current_dir("/")
        .env("W", folder.path())
        .env("HOMES", on("ProtectHome"))
        .env("DEVICES", on("PrivateDevices"))
        .env("TUNABLES", on("ProtectKernelTunables"))
        .env("STRICT", if strict { "1" } else { "" })
        .env("PROC", if hidden { "2" } else { "" });
    let set = move || {
        filters.iter().try_for_each(|filter| {
            let set = seccompiler::apply_filter(filter);
            set.map_err(|_| std::io::Error::from_raw_os_error(22))
        })
    };
    // SAFETY: the closure makes a few system calls on programs that were built before; it takes no lock.
    unsafe { command.pre_exec(set) };
    Some(command.output().unwrap())
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[test]
fn a_whole_task_runs_behind_the_walls_of_the_unit() {
    let unit = deployed("prentice.service");
    let Some(done) = behind(&unit, &["demo"]) else {
        return;
    };
    assert!(done.status.success(), "{}", told(&done));
    assert!(
        told(&done).contains("tests 1 → 0") || told(&done).contains("verify"),
        "{}",
        told(&done)
    );
}

#[test]
fn walls_that_the_unit_leaves_out_would_end_every_sandbox_and_doctor_names_them() {
    let unit = deployed("prentice.service");
    for (wall, word) in [
        ("ProtectKernelTunables", "/proc"),
        ("ProtectHostname", "host name"),
        ("RestrictNamespaces", "clone3"),
    ] {
        let closed = unit.replace(&format!("\n{wall}=no"), &format!("\n{wall}=yes"));
        assert_ne!(closed, unit);
        let Some(done) = behind(&closed, &["doctor"]) else {
            return;
        };
        let said = told(&done);
        assert_eq!(done.status.code(), Some(1), "{wall}: {said}");
        let line = said.lines().find(|line| line.starts_with("fail sandbox"));
        assert!(
            line.is_some_and(|line| line.contains(word)),
            "{wall}: {said}"
        );
    }
    // The same walls without these leave it alone.
    let done = behind(&unit, &["doctor"]).unwrap();
    assert!(done.status.success(), "{}", told(&done));
    println!("{}", told(&done));
}

// ---- containers

/// A line of a block-style YAML file: how deep, and what it says.
/// A process as the service manager leaves one: a user of its own, and data that nobody else sees.
const SERVICE: &str = r#"
mount --make-rprivate /
mount -t tmpfs -o mode=700,uid=65533,gid=65533 tmpfs "$W/state"
exec setpriv --reuid=65533 --regid=65533 --clear-groups \
    env -i PATH="$W:/usr/local/bin:/usr/bin:/bin" STATE_DIRECTORY="$W/state" RUNTIME_DIRECTORY="$W/run" \
    'PRENTICE_TASK__AGENT=of the unit' sleep 120
"#;

#[test]
fn a_command_beside_the_service_has_its_user_its_data_and_its_variables() {
    if !crate::sandbox::is_root() {
        skipped("commands beside the service", "takes root");
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("prentice-unit-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["state", "run"] {
        fs::create_dir(path(name)).unwrap();
        std::os::unix::fs::chown(path(name), Some(65533), Some(65533)).unwrap();
    }
    let script = |name: &str, text: &str| {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), PermissionsExt::from_mode(0o755)).unwrap();
    };
    // What is run is told by itself, before it runs.
    let program = helper().display().to_string();
    fs::copy(program, path("program")).unwrap();
    let tells =
        "#!/bin/sh\nid -u >&2; env | grep -E '^(PRENTICE|HOME)' >&2\nunset PRENTICE_TASK__AGENT\n";
    script(
        "prentice",
        &format!("{tells}exec {} \"$@\"\n", path("program").display()),
    );

    let mut service = Command::new("unshare")
        .args(["-m", "sh", "-c", SERVICE])
        .env("W", folder.path())
        .spawn()
        .unwrap();
    let pid = service.id();
    let state = format!("/proc/{pid}/root{}", path("state").display());
    let started = std::time::Instant::now();
    while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "sleep\n" {
        assert!(started.elapsed().as_secs() < 10, "it does not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let beside = |pid: u32, words: &[&str]| {
        script("systemctl", &format!("#!/bin/sh\necho {pid}\n"));
        let system = std::env::var("PATH").unwrap();
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prentice-beside"))
            .args(words)
            .env("PATH", format!("{}:{system}", folder.path().display()))
            .env("PRENTICE_OF_THE_OPERATOR", "1")
            .output()
            .unwrap()
    };
    let done = beside(pid, &["doctor", "--quick", "--json"]);
    let made = fs::metadata(format!("{state}/prentice.db"));
    let listed = beside(pid, &["tasks", "list"]);
    service.kill().unwrap();
    service.wait().unwrap();
    let (out, err) = (told(&done), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}");
    assert!(
        err.contains("65533") && err.contains("PRENTICE_TASK__AGENT=of the unit"),
        "{out}"
    );
    assert!(!err.contains("OPERATOR") && !err.contains("HOME"), "{out}");
    assert!(out.contains("as user 65533"), "{out}");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made.unwrap()), 65533);
    assert!(listed.status.success(), "{}", told(&listed));
    // Outside there is nothing.
    assert_eq!(fs::read_dir(path("state")).unwrap().count(), 0);
    let gone = beside(0, &["tasks", "list"]);
    assert_eq!(gone.status.code(), Some(10));
    assert!(
        told(&gone).contains("systemctl start prentice"),
        "{}",
        told(&gone)
    );
}

fn lines(yaml: &str) -> Vec<(usize, String)> {
    let lines = yaml
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| (line.len() - line.trim_start().len(), line.trim().to_owned()))
        .collect()
}

/// What stands directly below the path of keys.
fn below<'a>(all: &'a [(usize, String)], path: &[&str]) -> Vec<&'a str> {
    let mut rest = all;
    for key in path {
        let top = rest.first().map_or(0, |(depth, _)| *depth);
        let named = format!("{key}:");
        let Some(at) = rest
            .iter()
            .position(|(d, line)| *d == top && *line == named)
        else {
            return Vec::new();
        };
        let depth = rest[at].0;
        let end = rest[at + 1..].iter().position(|(d, _)| *d <= depth);
        rest = &rest[at + 1..end.map_or(rest.len(), |end| at + 1 + end)];
    }
    let depth = rest.first().map_or(0, |(depth, _)| *depth);
    rest.iter()
        .filter(|(d, _)| *d == depth)
        .map(|(_, line)| line.as_str())
        .collect()
}

/// What an operator would not want to find in a composition.
fn compose_faults(yaml: &str) -> Vec<String> {
    let all = lines(yaml);
    let mut faults = Vec::new();
    let mut fault = |bad: bool, what: &str| {
        if bad {
            faults.push(what.to_owned());
        }
    };
    let whole = yaml.to_lowercase();
    fault(
        below(&all, &["services"]) != ["prentice:"],
        "another service",
    );
    fault(below(&all, &["volumes"]) != ["data:"], "another volume");
    let service = |key: &str| below(&all, &["services", "prentice", key]);
    fault(
        service("volumes") != ["- data:/var/lib/prentice"],
        "a folder of the host",
    );
    for port in service("ports") {
        fault(!port.starts_with("- \"127.0.0.1:"), "a port for everybody");
    }
    fault(service("ports").len() != 1, "more than one port");
    for word in [
        ".sock",
        "privileged: true",
        "network_mode",
        "pid: host",
        "cap_add",
        "devices:",
    ] {
        fault(whole.contains(word), word);
    }
    fault(service("cap_drop") != ["- ALL"], "capabilities");
    fault(!whole.contains("no-new-privileges:true"), "new privileges");
    fault(!whole.contains("read_only: true"), "a writable system");
    fault(
        whole.contains("user: root") || !whole.contains("user: \"65532:65532\""),
        "root",
    );
    for line in service("environment") {
        let secret = ["TOKEN", "SECRET", "KEY"]
            .iter()
            .any(|word| line.contains(word));
        fault(
            secret && !line.contains("_FILE: /run/secrets/"),
            "a secret in the environment",
        );
    }
    let image = below(&all, &["services", "prentice"]);
    let image = image
        .iter()
        .find_map(|line| line.strip_prefix("image: "))
        .unwrap_or("");
    fault(!pinned(image), "an image that is not pinned");
    faults
}

/// A name with a whole version, and no host of a registry.
fn pinned(image: &str) -> bool {
    let Some((name, tag)) = image.split_once(':') else {
        return false;
    };
    let host = name.split('/').next().unwrap().contains('.');
    let version = tag.split('-').next().unwrap();
    !host && version.contains('.') && version.split('.').all(|n| n.parse::<u32>().is_ok())
}

#[test]
fn the_composition_gives_away_nothing_of_the_host() {
    let yaml = deployed("compose.yaml");
    assert_eq!(compose_faults(&yaml), Vec::<String>::new());
    for (from, to) in [
        ("127.0.0.1:8460:8460", "8460:8460"),
        ("127.0.0.1:8460:8460", "0.0.0.0:8460:8460"),
        (
            "- data:/var/lib/prentice",
            "- data:/var/lib/prentice\n      - /var/run/docker.sock:/var/run/docker.sock",
        ),
        ("- data:/var/lib/prentice", "- /srv:/var/lib/prentice"),
        ("read_only: true", "privileged: true"),
        ("- ALL", "- NET_RAW"),
        ("no-new-privileges:true", "no-new-privileges:false"),
        ("65532:65532", "0:0"),
        ("prentice:0.1.0", "prentice:latest"),
        ("prentice:0.1.0", "registry.example/prentice:0.1.0"),
        ("_FILE: /run/secrets/main-token", ": abc"),
        ("volumes:\n  data:", "volumes:\n  data:\n  more:"),
    ] {
        let bad = yaml.replace(from, to);
        assert_ne!(bad, yaml, "{from}");
        assert!(!compose_faults(&bad).is_empty(), "{from} → {to}");
    }
    for name in ["main-token", "main-webhook-secret"] {
        assert!(below(&lines(&yaml), &["secrets"]).contains(&format!("{name}:").as_str()));
    }
}

/// What an operator would not want to find in the recipe of an image.
fn image_faults(recipe: &str) -> Vec<String> {
    let code: Vec<&str> = recipe
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let mut faults = Vec::new();
    for line in code.iter().filter_map(|line| line.strip_prefix("FROM ")) {
        if !pinned(line.split(' ').next().unwrap()) {
            faults.push(format!("not pinned: {line}"));
        }
    }
    let user = code
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix("USER "));
    if user != Some("65532:65532") {
        faults.push(format!("runs as {user:?}"));
    }
    for word in [
        "curl ",
        "wget ",
        "ADD http",
        "--privileged",
        ".sock",
        "chmod 777",
    ] {
        if code.iter().any(|line| line.contains(word)) {
            faults.push(word.to_owned());
        }
    }
    for word in [
        "--locked",
        "HEALTHCHECK",
        "\"doctor\", \"--quick\"",
        "ENTRYPOINT [\"prentice\"]",
    ] {
        if !recipe.contains(word) {
            faults.push(format!("without {word}"));
        }
    }
    faults
}

#[test]
fn the_image_is_made_of_pinned_parts_and_runs_without_root() {
    let recipe = deployed("Containerfile");
    assert_eq!(image_faults(&recipe), Vec::<String>::new());
    for (from, to) in [
        ("rust:1.95.0-slim-bookworm", "rust:latest"),
        ("debian:12.11-slim", "debian"),
        ("debian:12.11-slim", "registry.example/debian:12.11-slim"),
        ("USER 65532:65532", "USER root"),
        ("cargo build --release --locked", "curl https://x | sh"),
    ] {
        let bad = recipe.replace(from, to);
        assert_ne!(bad, recipe, "{from}");
        assert!(!image_faults(&bad).is_empty(), "{from} → {to}");
    }
    // The compiler is the one that the package asks for.
    let manifest =
        fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let wanted = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap();
    assert!(recipe.contains(&format!("FROM rust:{}.", wanted.trim_matches('"'))));
}
