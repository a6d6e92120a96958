//! What PID 1 and every command inside can no longer do: capabilities, resource limits, Landlock
//! and seccomp. Applied once to PID 1; commands inherit all of it.

#![expect(
    unsafe_code,
    reason = "capset has no safe wrapper; a jump table for x32 is installed by hand"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use rustix::process::{Resource, Rlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Most open files of one process; lowered to what the host allows.
const OPEN_FILES: u64 = 65_536;

/// Capabilities go for good: bounding, ambient, effective, permitted and inheritable sets.
pub(super) fn drop_capabilities() -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    for number in 0..64 {
        // SAFETY: PR_CAPBSET_DROP takes one integer and touches no memory.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } < 0 {
            let error = io::Error::last_os_error();
            // The first number that the kernel does not know ends the list.
            if error.raw_os_error() == Some(libc::EINVAL) && number > 30 {
                break;
            }
            return Err(error);
        }
    }
    let none = rustix::thread::CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        rustix::thread::CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// Resource limits of every process inside; hard limits, so that nothing raises them.
pub(super) fn limit_resources(file_bytes: u64, pids: Option<u32>) -> io::Result<()> {
    let fixed = [
        (Resource::Core, 0),
        (Resource::Fsize, file_bytes),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Rtprio, 0),
        (Resource::Nice, 0),
        (Resource::Msgqueue, 1 << 20),
    ];
    let pids = pids.map(|n| (Resource::Nproc, u64::from(n)));
    for (resource, wanted) in fixed.into_iter().chain(pids) {
        let allowed = rustix::process::getrlimit(resource).maximum;
        let value = Some(allowed.map_or(wanted, |max| max.min(wanted)));
        rustix::process::setrlimit(
            resource,
            Rlimit {
                current: value,
                maximum: value,
            },
        )?;
    }
    Ok(())
}

/// Reading anywhere, writing only below `writable`, no signal and no abstract socket beyond the
/// sandbox. Returns the ABI in force, 0 where the kernel has no Landlock.
pub(super) fn landlock(writable: &[OsString]) -> io::Result<u8> {
    let abi = abi();
    if abi == 0 {
        return Ok(0);
    }
    let all = AccessFs::from_all(ABI::V5);
    let reading = AccessFs::from_read(ABI::V5);
    let other = |e: landlock::RulesetError| io::Error::other(e.to_string());
    let opened = |e: landlock::PathFdError| io::Error::other(e.to_string());
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .map_err(other)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)
        .map_err(other)?
        .create()
        .map_err(other)?
        .add_rule(PathBeneath::new(PathFd::new("/").map_err(opened)?, reading))
        .map_err(other)?;
    for path in writable {
        rules = rules
            .add_rule(PathBeneath::new(PathFd::new(path).map_err(opened)?, all))
            .map_err(other)?;
    }
    rules.restrict_self().map_err(other)?;
    Ok(abi)
}

/// The kernel's Landlock ABI.
fn abi() -> u8 {
    // SAFETY: with a null attribute and the version flag the call only returns a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            1_u32,
        )
    };
    u8::try_from(version).unwrap_or(0)
}

/// System calls that no build or test needs and that reach far into the kernel, or out.
/// A deny-list: an allow-list would break tool chains; what it would add is bounded by having no
/// capabilities and no way to a new user namespace.
fn denied() -> Vec<i64> {
    let mut calls = vec![
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_process_madvise,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_acct,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_reboot,
        libc::SYS_syslog,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_vhangup,
        libc::SYS_fanotify_init,
        libc::SYS_lookup_dcookie,
        libc::SYS_move_pages,
        libc::SYS_migrate_pages,
        libc::SYS_memfd_secret,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        libc::SYS_kexec_file_load,
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_modify_ldt,
        libc::SYS_uselib,
        libc::SYS_ustat,
        libc::SYS_sysfs,
        libc::SYS__sysctl,
        libc::SYS_nfsservctl,
    ]);
    calls
}

/// Installs the filters. Nothing can be installed over them that allows more.
pub(super) fn seccomp() -> io::Result<()> {
    for program in programs().map_err(io::Error::other)? {
        seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

/// seccompiler has one action per filter: one filter for "not permitted", one for "no such call".
/// Both kill processes of another architecture.
fn programs() -> Result<Vec<BpfProgram>, seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = |rules, errno: i32| -> Result<BpfProgram, seccompiler::Error> {
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(errno.unsigned_abs()),
            arch,
        )?;
        Ok(filter.try_into()?)
    };
    let when = |arg: u8, len, op, value: u64| -> Result<SeccompRule, seccompiler::Error> {
        Ok(SeccompRule::new(vec![SeccompCondition::new(
            arg, len, op, value,
        )?])?)
    };
    let (dword, qword) = (SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword);

    let mut not_permitted: BTreeMap<i64, Vec<SeccompRule>> = denied()
        .into_iter()
        .map(|call| (call, Vec::new()))
        .collect();

    // A new namespace of any kind.
    let namespaces = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    let clone = namespaces
        .into_iter()
        .map(|flag| {
            let bit = u64::from(flag.unsigned_abs());
            when(0, qword.clone(), SeccompCmpOp::MaskedEq(bit), bit)
        })
        .collect::<Result<Vec<_>, _>>()?;
    not_permitted.insert(libc::SYS_clone, clone);

    // Sockets of every family but the three that a test may need on loopback.
    let families: Vec<SeccompCondition> = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6]
        .into_iter()
        .map(|family| {
            SeccompCondition::new(
                0,
                dword.clone(),
                SeccompCmpOp::Ne,
                u64::from(family.unsigned_abs()),
            )
        })
        .collect::<Result<_, _>>()?;
    not_permitted.insert(libc::SYS_socket, vec![SeccompRule::new(families)?]);
    let pairs = when(
        0,
        dword.clone(),
        SeccompCmpOp::Ne,
        u64::from(libc::AF_UNIX.unsigned_abs()),
    )?;
    not_permitted.insert(libc::SYS_socketpair, vec![pairs]);

    // Typing into a terminal that is not ours. Only the low half counts, as in the kernel.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX]
        .into_iter()
        .map(|request| when(1, dword.clone(), SeccompCmpOp::Eq, request))
        .collect::<Result<Vec<_>, _>>()?;
    not_permitted.insert(libc::SYS_ioctl, typing);

    // Personalities: 0, PER_LINUX32, no randomisation and the query are what tools use.
    let odd: Vec<SeccompCondition> = [0, 0x8, 0x0004_0000, 0xffff_ffff]
        .into_iter()
        .map(|known| SeccompCondition::new(0, dword.clone(), SeccompCmpOp::Ne, known))
        .collect::<Result<_, _>>()?;
    not_permitted.insert(libc::SYS_personality, vec![SeccompRule::new(odd)?]);

    // clone3 hides its flags behind a pointer; libraries fall back to clone when it is missing.
    let missing = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);

    let mut programs = vec![
        filter(not_permitted, libc::EPERM)?,
        filter(missing, libc::ENOSYS)?,
    ];
    if cfg!(target_arch = "x86_64") {
        programs.push(no_x32());
    }
    Ok(programs)
}

/// x32 calls share the architecture number with x86-64 and would slip past a list of numbers.
fn no_x32() -> BpfProgram {
    let op = |code: u32, jt, jf, k| seccompiler::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    vec![
        // The call's number is the first word of `seccomp_data`.
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(
            libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K,
            0,
            1,
            0x4000_0000,
        ),
        op(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
