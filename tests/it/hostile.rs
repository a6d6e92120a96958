//! Attacks from inside a sandbox. Each is a small program that prints `OPEN` when it reaches what
//! it is after. It is run outside first, to prove that it works; then inside, where it must not.

use std::fs;
use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use prentice::domain::evidence::Exit;
use prentice::sandbox::Session;

use crate::sandbox::{World, is_root, run, sh};

/// Who reaches it outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    /// Anybody.
    Anybody,
    /// Host root; an ordinary user is stopped by the host already.
    Root,
    /// Nobody on this kernel, or it would do harm: shown inside only.
    Nobody,
}

use Outside::{Anybody, Nobody, Root};

/// Section and number in the list of attacks, what it is, who can do it outside, the program.
type Attack = (&'static str, &'static str, Outside, &'static str);

/// Programs get: TARGET (outside a process of their own, inside PID 1), SECRET (a file of the host), FOLDER (a writable folder of the host), PORT (a
/// listener on the host's loopback), ABSTRACT (a name), SOCKET (a path), VICTIM (a process of the
/// host).
const ATTACKS: [Attack; 65] = [
    // Filesystem.
    (
        "fs 1",
        "read a file of the host",
        Anybody,
        "cat $SECRET && echo OPEN",
    ),
    (
        "fs 1",
        "read /etc/shadow",
        Root,
        "cat /etc/shadow && echo OPEN",
    ),
    (
        "fs 1",
        "list a home folder",
        Root,
        "ls /root/.cargo && echo OPEN",
    ),
    (
        "fs 2",
        "write to a folder of the host",
        Anybody,
        "echo x > $FOLDER/x && echo OPEN",
    ),
    (
        "fs 2",
        "write to /usr",
        Root,
        "t=/usr/.prentice-probe; : > $t && rm $t && echo OPEN",
    ),
    (
        "fs 2",
        "write to /etc",
        Root,
        "t=/etc/.prentice-probe; : > $t && rm $t && echo OPEN",
    ),
    (
        "fs 2",
        "write to /",
        Root,
        "t=/.prentice-probe; : > $t && rm $t && echo OPEN",
    ),
    (
        "fs 2",
        "change a mode in /usr",
        Root,
        "chmod 755 /usr/bin && echo OPEN",
    ),
    (
        "fs 5",
        "read through a symbolic link in the work tree",
        Anybody,
        "ln -sfn $SECRET link; cat link && echo OPEN",
    ),
    (
        "fs 7",
        "read through /proc/self/root",
        Anybody,
        "cat /proc/self/root$SECRET && echo OPEN",
    ),
    (
        "fs 7",
        "read through the root of PID 1",
        Anybody,
        r#"cat /proc/$TARGET/root$SECRET && echo OPEN"#,
    ),
    (
        "fs 7",
        "leave through ../..",
        Anybody,
        "cat ../../../../../../../..$SECRET && echo OPEN",
    ),
    (
        "fs 7",
        "chroot out",
        Root,
        r#"perl -e 'chroot("/") and print "OPEN"'"#,
    ),
    (
        "fs 9",
        "mount a tmpfs",
        Root,
        r#"perl -e '($a, $b, $c, $d) = ("x", "m", "tmpfs", ""); mkdir $b; if (syscall(165, $a, $b, $c, 0, $d) == 0) { syscall(166, $b, 2); print "OPEN" }'"#,
    ),
    (
        "fs 9",
        "open a detached tree",
        Root,
        r#"perl -e '$a = "/"; print "OPEN" if syscall(428, -100, $a, 1) >= 0'"#,
    ),
    (
        "fs 9",
        "make a file system context",
        Root,
        r#"perl -e '$a = "tmpfs"; print "OPEN" if syscall(430, $a, 0) >= 0'"#,
    ),
    (
        "fs 10",
        "file handles",
        Anybody,
        r#"perl -e '$p = "/usr"; $h = pack("Li", 128, 0) . "\0" x 128; $m = "\0" x 8; print "OPEN" if syscall(303, -100, $p, $h, $m, 0) == 0'"#,
    ),
    (
        "fs 11",
        "make a block device",
        Root,
        r#"perl -e '$a = "dev"; if (syscall(133, $a, 060600, 0xfe00) == 0) { unlink $a; print "OPEN" }'"#,
    ),
    (
        "fs 13",
        "write a trusted attribute",
        Root,
        r#"perl -e '($f, $n, $v) = ("attr", "trusted.x", "y"); open F, ">", $f; print "OPEN" if syscall(188, $f, $n, $v, 1, 0) == 0; unlink $f'"#,
    ),
    (
        "fs 16",
        "a disk of the host",
        Root,
        "ls /dev/vda /dev/sda /dev/nvme0n1 2>/dev/null | grep -q . && echo OPEN",
    ),
    // /proc and identity.
    (
        "id 17",
        "see a process of the host",
        Anybody,
        "tr '\\0' ' ' < /proc/$VICTIM/cmdline | grep -q 86499 && echo OPEN",
    ),
    (
        "id 18",
        "write to a setting of the kernel",
        Root,
        r#"perl -e 'open(F, ">>", "/proc/sys/kernel/core_pattern") and print "OPEN"'"#,
    ),
    (
        "id 18",
        "write to a setting of this network",
        Root,
        r#"perl -e 'open(F, ">>", "/proc/sys/net/ipv4/ip_default_ttl") and print "OPEN"'"#,
    ),
    (
        "id 18",
        "write to sysrq-trigger",
        Nobody,
        r#"perl -e 'open(F, ">", "/proc/sysrq-trigger") and print "OPEN"'"#,
    ),
    (
        "id 18",
        "be spared by the OOM killer",
        Nobody,
        r#"echo -500 > /proc/self/oom_score_adj && echo OPEN"#,
    ),
    (
        "id 19",
        "read the kernel's symbols",
        Anybody,
        "head -1 /proc/kallsyms | grep -q . && echo OPEN",
    ),
    (
        "id 19",
        "read the kernel's log",
        Root,
        r#"perl -e 'open(F, "<", "/dev/kmsg") and print "OPEN"'"#,
    ),
    (
        "id 19",
        "read timers",
        Root,
        "head -1 /proc/timer_list | grep -q . && echo OPEN",
    ),
    (
        "id 20",
        "environment of PID 1",
        Anybody,
        r#"head -c1 /proc/$TARGET/environ >/dev/null && echo OPEN"#,
    ),
    (
        "id 20",
        "memory of PID 1",
        Anybody,
        r#"perl -e 'open(F, "<", "/proc/$ENV{TARGET}/mem") and print "OPEN"'"#,
    ),
    (
        "id 20",
        "descriptors of PID 1",
        Anybody,
        r#"ls /proc/$TARGET/fd && echo OPEN"#,
    ),
    (
        "id 21",
        "any capability left",
        Root,
        "grep -E 'Cap(Eff|Prm|Bnd|Amb|Inh)' /proc/self/status | grep -vq 0000000000000000 && echo OPEN",
    ),
    (
        "id 21",
        "privileges can be gained",
        Anybody,
        "grep -q 'NoNewPrivs:.*0' /proc/self/status && echo OPEN",
    ),
    (
        "id 18",
        "settings of the kernel are mounted writable",
        Anybody,
        "grep -q ' /proc/sys ro[, ]' /proc/self/mountinfo || echo OPEN",
    ),
    (
        "id 21",
        "PID 1 has a capability",
        Anybody,
        "grep -E 'Cap(Eff|Prm)' /proc/1/status | grep -vq 0000000000000000 && echo OPEN",
    ),
    (
        "id 21",
        "no Landlock domain: all sixteen layers are free",
        Anybody,
        r#"perl -e 'syscall(157, 38, 1, 0, 0, 0); $a = pack("Q", 1); $f = syscall(444, $a, 8, 0); for (1..16) { $n++ if syscall(446, $f, 0) == 0 } print "OPEN" if $n == 16'"#,
    ),
    (
        "id 21",
        "no seccomp filter",
        Anybody,
        "grep -q 'Seccomp:.*[01]$' /proc/self/status && echo OPEN",
    ),
    (
        "id 21",
        "host uid 0",
        Root,
        r#"perl -lane 'print "OPEN" if $F[1] == 0' /proc/self/uid_map"#,
    ),
    ("id 22", "read /sys", Anybody, "ls /sys/fs && echo OPEN"),
    (
        "id 23",
        "environment of the host",
        Anybody,
        "env | grep -q CANARY && echo OPEN",
    ),
    (
        "id 23",
        "name and id of the machine",
        Root,
        "cat /etc/machine-id /var/lib/dbus/machine-id 2>/dev/null | grep -q . && echo OPEN; test $(hostname) = $(cat $FOLDER/hostname) && echo OPEN",
    ),
    // Network.
    (
        "net 26",
        "the host's loopback",
        Anybody,
        r#"perl -MIO::Socket::INET -e 'IO::Socket::INET->new("127.0.0.1:$ENV{PORT}") and print "OPEN"'"#,
    ),
    (
        "net 28",
        "an abstract socket of the host",
        Anybody,
        r#"perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, pack("S", AF_UNIX) . "\0$ENV{ABSTRACT}") and print "OPEN"'"#,
    ),
    (
        "net 29",
        "a socket file of the host",
        Anybody,
        r#"perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ENV{SOCKET})) and print "OPEN"'"#,
    ),
    (
        "net 24",
        "an interface other than loopback",
        Root,
        "grep -vE 'Inter|face| lo:' /proc/net/dev | grep -q : && echo OPEN",
    ),
    (
        "net 24",
        "a metadata address",
        Nobody,
        r#"perl -MIO::Socket::INET -e 'IO::Socket::INET->new(PeerAddr => "169.254.169.254:80", Timeout => 1) and print "OPEN"; print "$!\n"; exit($!{ENETUNREACH} ? 0 : 7)'"#,
    ),
    (
        "net 30",
        "a packet socket",
        Root,
        r#"perl -e 'print "OPEN" if syscall(41, 17, 3, 0) >= 0'"#,
    ),
    (
        "net 30",
        "a netlink socket",
        Anybody,
        r#"perl -e 'print "OPEN" if syscall(41, 16, 3, 0) >= 0'"#,
    ),
    (
        "net 30",
        "a kernel crypto socket, or a vsock",
        Anybody,
        r#"perl -e 'print "OPEN" if syscall(41, 38, 5, 0) >= 0 or syscall(41, 40, 1, 0) >= 0'"#,
    ),
    // Process, signals, kernel surface.
    (
        "proc 38",
        "trace a process",
        Anybody,
        r#"perl -e 'if (!($p = fork)) { sleep 5; exit } print "OPEN" if syscall(101, 16, $p, 0, 0) == 0; kill 9, $p'"#,
    ),
    (
        "proc 38",
        "read memory of a process",
        Anybody,
        r#"perl -e '$b = "x" x 8; $v = pack("pQ", $b, 8); $c = "y" x 8; $w = pack("pQ", $c, 8); print "OPEN" if syscall(310, $$ + 0, $w, 1, $v, 1, 0) == 8'"#,
    ),
    (
        "proc 38",
        "take a descriptor of a process",
        Anybody,
        r#"perl -e '$f = syscall(434, $$ + 0, 0); print "OPEN" if syscall(438, $f, 1, 0) >= 0'"#,
    ),
    (
        "proc 39",
        "signal a process of the host",
        Anybody,
        "kill -0 $VICTIM && echo OPEN",
    ),
    (
        "proc 40",
        "a new user namespace (unshare)",
        Anybody,
        r#"perl -e 'print "OPEN" if syscall(272, 0x10000000) == 0'"#,
    ),
    (
        "proc 40",
        "a new user namespace (clone)",
        Anybody,
        r#"perl -e '$p = syscall(56, 0x10000011, 0, 0, 0, 0); exit if $p == 0; print "OPEN" if $p > 0'"#,
    ),
    (
        "proc 40",
        "a new user namespace (clone3)",
        Anybody,
        r#"perl -e '$a = pack("Q11", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0); $p = syscall(435, $a, 88); exit if $p == 0; print "OPEN" if $p > 0'"#,
    ),
    (
        "proc 41",
        "io_uring",
        Anybody,
        r#"perl -e '$p = "\0" x 120; print "OPEN" if syscall(425, 4, $p) >= 0'"#,
    ),
    (
        "proc 41",
        "the kernel's key rings",
        Anybody,
        r#"perl -e '($t, $d, $v) = ("user", "x", "y"); print "OPEN" if syscall(248, $t, $d, $v, 1, -2) >= 0 or syscall(250, 0, -3, 1) >= 0'"#,
    ),
    (
        "proc 41",
        "bpf",
        Root,
        r#"perl -e '$a = pack("L4", 2, 4, 4, 1) . "\0" x 100; print "OPEN" if syscall(321, 0, $a, 116) >= 0'"#,
    ),
    (
        "proc 41",
        "performance counters",
        Root,
        r#"perl -e '$a = pack("L2Q", 1, 120, 0) . "\0" x 104; print "OPEN" if syscall(298, $a, 0, -1, -1, 0) >= 0'"#,
    ),
    (
        "proc 42",
        "an x32 call",
        Nobody,
        r#"perl -e 'print "OPEN" if syscall(0x40000000 + 39) >= 0'"#,
    ),
    (
        "proc 43",
        "type into a terminal reaches the terminal layer",
        Anybody,
        r#"perl -e '$c = "x"; ioctl(STDOUT, 0x5412, $c); print "OPEN" unless $!{EPERM}'"#,
    ),
    (
        "proc 44",
        "reboot reaches the kernel",
        Root,
        r#"perl -e 'syscall(169, 0, 0, 0, 0); print "OPEN" if $!{EINVAL}'"#,
    ),
    (
        "proc 45",
        "setting the clock reaches the kernel",
        Root,
        r#"perl -e '$t = pack("q2", 0, -1); syscall(227, 0, $t); print "OPEN" if $!{EINVAL}'"#,
    ),
    (
        "res 61",
        "a better priority",
        Root,
        "perl -e 'print \"OPEN\" if syscall(141, 0, 0, -5) == 0'",
    ),
];

struct Host {
    world: World,
    env: Vec<(String, String)>,
    victim: std::process::Child,
    _listeners: (std::net::TcpListener, UnixListener, UnixListener),
}

impl Host {
    fn new() -> Self {
        let world = World::new();
        world.write("outside/secret", "the host's secret\n");
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        world.write("outside/hostname", &name);
        let socket = world.path("outside/socket");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let name = format!("prentice-hostile-{}-{port}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstract_ = UnixListener::bind_addr(&address).unwrap();
        let file = UnixListener::bind(&socket).unwrap();
        let victim = Process::new("sleep").arg("86499").spawn().unwrap();
        let text = |path: &Path| path.display().to_string();
        let env = [
            ("SECRET", text(&world.path("outside/secret"))),
            ("FOLDER", text(&world.path("outside"))),
            ("PORT", port.to_string()),
            ("ABSTRACT", name),
            ("SOCKET", text(&socket)),
            ("VICTIM", victim.id().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        Self {
            world,
            env,
            victim,
            _listeners: (tcp, abstract_, file),
        }
    }

    /// Whether it reaches its aim on the host.
    fn outside(&self, script: &str) -> bool {
        let folder = self.world.path("outside/cwd");
        fs::create_dir_all(&folder).unwrap();
        let mut child = Process::new("sh")
            .args(["-c", script])
            .envs(self.env.iter().cloned())
            .env("CANARY", "canary")
            .env("TARGET", self.victim.id().to_string())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
        child.wait().unwrap();
        String::from_utf8_lossy(&out).contains("OPEN")
    }

    async fn inside(&self, session: &mut dyn Session, script: &str) -> (Exit, bool, String) {
        let mut command = sh(script);
        command.env = self.env.iter().cloned().collect();
        command.env.insert("TARGET".to_owned(), "1".to_owned());
        command.timeout = Duration::from_secs(20);
        let (exit, out, err) = run(session, command).await;
        (exit, out.contains("OPEN"), out + &err)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.victim.kill().unwrap();
        self.victim.wait().unwrap();
    }
}

#[tokio::test]
async fn every_attack_that_works_outside_fails_inside() {
    let host = Host::new();
    let mut session = host.world.session().await;
    let who = if is_root() {
        "root"
    } else {
        "an ordinary user"
    };
    let mut board = format!("scoreboard as {who}\n");
    let mut bad = Vec::new();
    for (section, what, outside, script) in ATTACKS {
        let baseline = match outside {
            Nobody => "not tried",
            Root if !is_root() => "needs root",
            Anybody | Root if host.outside(script) => "works",
            Anybody | Root => "FAILS",
        };
        let (_, open, text) = host.inside(session.as_mut(), script).await;
        let inside = if open { "OPEN" } else { "stopped" };
        board.push_str(&format!(
            "{section:8} {what:50} outside: {baseline:10} inside: {inside}\n"
        ));
        if open || baseline == "FAILS" {
            bad.push(format!(
                "{section} {what}: outside {baseline}, inside {inside}: {text}"
            ));
        }
    }
    println!("{board}");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    session.kill().await.unwrap();
    assert!(
        host.world.path("outside/x").exists(),
        "written by the baseline"
    );
    assert!(!host.world.path("layer/upper/x").exists());
}

/// A call of the 32-bit interface has other numbers, and would slip past a list of numbers.
#[tokio::test]
async fn calls_of_another_architecture_kill_their_caller() {
    let host = Host::new();
    let probe = "#include <stdio.h>\nint main(void) { int r; __asm__ volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(20)); \
                 if (r > 0) puts(\"OPEN\"); return 0; }\n";
    host.world.write("lower/probe.c", probe);
    let source = host.world.path("lower/probe.c");
    let program = host.world.path("lower/probe");
    let built = Process::new("cc")
        .arg("-o")
        .arg(&program)
        .arg(&source)
        .status()
        .unwrap();
    assert!(built.success());
    let works = host.outside(&program.display().to_string());
    println!(
        "int 0x80 outside: {}",
        if works {
            "works"
        } else {
            "this kernel has no 32-bit calls"
        }
    );
    let mut session = host.world.session().await;
    let (exit, open, _) = host.inside(session.as_mut(), "exec ./probe").await;
    assert!(!open);
    if works {
        assert_eq!(exit, Exit::Signal { signal: 31 });
    }
}

#[tokio::test]
async fn pid_1_is_not_hurt_and_a_session_survives_its_commands() {
    let host = Host::new();
    let mut session = host.world.session().await;
    let s = session.as_mut();
    for script in [
        "kill -9 1; kill -STOP 1; kill -TERM -1; true",
        "kill -9 -1",
        "ulimit -n; perl -e 'while (open($f[@f], \"<\", \"/dev/null\")) {} print scalar @f'",
        "perl -e 'for (1..300) { fork or exit } sleep 1'",
        "rm -rf --no-preserve-root / 2>/dev/null",
        "ulimit -c; perl -e 'kill 11, $$'",
    ] {
        let (exit, _, text) = host.inside(s, script).await;
        println!("{script}: {exit:?} {}", text.lines().next().unwrap_or(""));
    }
    let (exit, _, text) = host
        .inside(
            s,
            "ulimit -c; ls /proc/self/fd | wc -l; ls -A / | tr '\\n' ' '",
        )
        .await;
    assert_eq!(exit, Exit::Code { code: 0 });
    // Descriptors: the three standard ones, and the one that lists them.
    assert!(text.starts_with("0\n4\n"), "{text}");
    assert!(!text.contains("sys"), "{text}");
    assert!(session.alive());
    assert_eq!(
        fs::read_to_string(host.world.path("lower/README")).unwrap(),
        "from the lower\n"
    );
}

#[tokio::test]
async fn a_fork_bomb_is_over_when_its_time_is() {
    let host = Host::new();
    let mut session = host.world.session().await;
    let mut command =
        sh("b() { b | b & }; trap '' TERM; while :; do b 2>/dev/null; sleep 0.01; done");
    command.timeout = Duration::from_millis(700);
    let started = Instant::now();
    let (exit, ..) = run(session.as_mut(), command).await;
    assert!(!exit.is_green(), "{exit:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    session.kill().await.unwrap();
}

#[tokio::test]
async fn what_stays_in_the_layer_is_harmless_and_goes_away() {
    let host = Host::new();
    let mut session = host.world.session().await;
    let script = "mkfifo fifo; ln -s /etc/shadow link; cp /bin/sh suid; chmod 6755 suid; mkdir closed; \
                  : > closed/x; chmod 000 closed; perl -e 'for (1..400) { mkdir \"d\"; chdir \"d\" or exit }'; \
                  : > \"$(printf 'new\\nline\\377')\"; perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); \
                  bind(S, sockaddr_un(\"sock\"))'; mknod white c 0 0; truncate -s 1T sparse; true";
    let (exit, _, text) = host.inside(session.as_mut(), script).await;
    println!("{exit:?} {text}");
    session.kill().await.unwrap();
    let layer = host.world.path("layer");
    assert!(!layer.join("work").exists());
    let suid =
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(layer.join("upper/suid")).unwrap());
    assert!(suid != 0, "a setuid file of the host's root");
    prentice::sandbox::remove(&layer).unwrap();
    assert!(!layer.exists());
}
