//! Limits that the host enforces by control groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Limits, LimitsTier};

/// Where the control groups of one session are; empty where there are none.
#[derive(Debug, Default)]
pub(super) struct Group {
    tier: Option<LimitsTier>,
    /// One folder (v2), or one per controller (v1: memory, pids, cpu).
    folders: Vec<PathBuf>,
}

/// What the kernel counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Processes killed for memory.
    pub(super) oom: u64,
    /// Processes not started for their number.
    pub(super) pids: u64,
}

/// Which control groups this process may make children in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parents {
    /// A folder of the unified hierarchy with memory and pids.
    V2(PathBuf),
    /// memory, pids and, where there is one, cpu.
    V1 {
        memory: PathBuf,
        pids: PathBuf,
        cpu: Option<PathBuf>,
    },
    /// None.
    Nowhere,
}

impl Parents {
    /// Looks where children can be made: below our own group, in v2 also at the root of what is
    /// mounted (a group with processes in it cannot hand controllers on).
    pub(super) fn find() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::among(&own, &mounts)
    }

    fn among(own: &str, mounts: &str) -> Self {
        // mountinfo: id parent dev root point options… - type source super-options
        let mounted = |kind: &str, controller: Option<&str>| {
            mounts.lines().find_map(|line| {
                let (front, back) = line.split_once(" - ")?;
                let mut back = back.split(' ');
                let options = (back.next()? == kind).then(|| back.nth(1))??;
                let named = controller.is_none_or(|c| options.split(',').any(|o| o == c));
                let mut front = front.split(' ').skip(3);
                let (root, point) = (front.next()?, front.next()?);
                named.then(|| (root.to_owned(), PathBuf::from(point)))
            })
        };
        let group = |(root, point): (String, PathBuf), path: &str| {
            let below = path
                .strip_prefix(root.trim_end_matches('/'))
                .unwrap_or(path);
            point.join(below.trim_start_matches('/'))
        };
        let path_of = |controller: &str| {
            own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':');
                let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
                names.split(',').any(|n| n == controller).then_some(path)
            })
        };
        if let (Some(mount), Some(path)) = (mounted("cgroup2", None), path_of("")) {
            let root = mount.1.clone();
            for folder in [group(mount, path), root] {
                if v2_delegates(&folder) {
                    return Self::V2(folder);
                }
            }
        }
        let v1 = |controller: &str| {
            let folder = group(mounted("cgroup", Some(controller))?, path_of(controller)?);
            writable(&folder).then_some(folder)
        };
        match (v1("memory"), v1("pids")) {
            (Some(memory), Some(pids)) => Self::V1 {
                memory,
                pids,
                cpu: v1("cpu"),
            },
            _ => Self::Nowhere,
        }
    }

    fn folders(&self, name: &str) -> Vec<PathBuf> {
        match self {
            Self::V2(folder) => vec![folder.join(name)],
            Self::V1 { memory, pids, cpu } => [Some(memory), Some(pids), cpu.as_ref()]
                .into_iter()
                .flatten()
                .map(|folder| folder.join(name))
                .collect(),
            Self::Nowhere => Vec::new(),
        }
    }

    /// Kills and removes what a dead host process left under this name.
    pub(super) fn reclaim(&self, name: &str) {
        for folder in self.folders(name) {
            if folder.is_dir() {
                let deadline = Instant::now() + Duration::from_secs(5);
                while fs::remove_dir(&folder).is_err() && Instant::now() < deadline {
                    kill_in(&folder);
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// Makes the groups of a session and sets its limits.
    pub(super) fn create(&self, name: &str, limits: &Limits) -> io::Result<Group> {
        let folders = self.folders(name);
        let mut group = Group::default();
        for folder in &folders {
            fs::create_dir(folder)?;
            group.folders.push(folder.clone());
        }
        // Per 100 ms.
        let quota = u64::from(limits.cpu_millis) * 100;
        match (self, folders.as_slice()) {
            (Self::V2(_), [folder]) => {
                set(folder, "memory.max", limits.memory_bytes)?;
                set(folder, "pids.max", u64::from(limits.pids))?;
                // Absent where the kernel has no swap accounting, or no cpu controller.
                let _ = set(folder, "memory.swap.max", 0);
                let _ = fs::write(folder.join("cpu.max"), format!("{quota} 100000"));
                group.tier = Some(LimitsTier::CgroupV2);
            }
            (Self::V1 { .. }, [memory, pids, cpu @ ..]) => {
                set(memory, "memory.limit_in_bytes", limits.memory_bytes)?;
                let _ = set(memory, "memory.memsw.limit_in_bytes", limits.memory_bytes);
                set(pids, "pids.max", u64::from(limits.pids))?;
                for cpu in cpu {
                    set(cpu, "cpu.cfs_period_us", 100_000)?;
                    set(cpu, "cpu.cfs_quota_us", quota)?;
                }
                group.tier = Some(LimitsTier::CgroupV1);
            }
            _ => {}
        }
        Ok(group)
    }
}

impl Group {
    pub(super) fn tier(&self) -> LimitsTier {
        self.tier.unwrap_or(LimitsTier::Rlimits)
    }

    /// Puts a process in; its children follow. Nothing where [`Self::doors`] does it.
    pub(super) fn add(&self, pid: u32) -> io::Result<()> {
        if self.tier == Some(LimitsTier::CgroupV2) {
            for folder in &self.folders {
                set(folder, "cgroup.procs", u64::from(pid))?;
            }
        }
        Ok(())
    }

    /// Files to which a process with one thread writes `0` to put itself in. To move another process the
    /// kernel first stops all forks of the machine, which takes it 10 ms and more; version 2
    /// takes single threads only where that was asked for.
    pub(super) fn doors(&self) -> Vec<PathBuf> {
        if self.tier != Some(LimitsTier::CgroupV1) {
            return Vec::new();
        }
        let tasks = self.folders.iter().map(|folder| folder.join("tasks"));
        tasks.collect()
    }

    pub(super) fn counters(&self) -> Counters {
        let read = |file: &str, key: &str| {
            self.folders
                .iter()
                .find_map(|folder| {
                    let text = fs::read_to_string(folder.join(file)).ok()?;
                    text.lines()
                        .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
                })
                .unwrap_or(0)
        };
        let oom = match self.tier {
            Some(LimitsTier::CgroupV2) => read("memory.events", "oom_kill "),
            _ => read("memory.oom_control", "oom_kill "),
        };
        Counters {
            oom,
            pids: read("pids.events", "max "),
        }
    }

    /// Processes in it.
    pub(super) fn members(&self) -> usize {
        self.folders
            .iter()
            .filter_map(|folder| fs::read_to_string(folder.join("cgroup.procs")).ok())
            .map(|text| text.lines().count())
            .max()
            .unwrap_or(0)
    }

    /// Kills what is in it and removes it; true when it is gone.
    pub(super) fn remove(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(2);
        self.folders.retain(|folder| {
            loop {
                match fs::remove_dir(folder) {
                    Ok(()) => return false,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return false,
                    Err(_) if Instant::now() >= deadline => return true,
                    Err(_) => {
                        kill_in(folder);
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
            }
        });
        self.folders.is_empty()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.remove();
    }
}

fn kill_in(folder: &Path) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in text.lines().filter_map(|line| line.parse().ok()) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            // Gone already is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn set(folder: &Path, file: &str, value: u64) -> io::Result<()> {
    fs::write(folder.join(file), value.to_string())
}

fn writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Children of this group can have memory and pids limits.
fn v2_delegates(folder: &Path) -> bool {
    let has = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        let names: Vec<&str> = text.split_whitespace().collect();
        names.contains(&"memory") && names.contains(&"pids")
    };
    writable(folder)
        && has("cgroup.controllers")
        && (has("cgroup.subtree_control")
            || fs::write(folder.join("cgroup.subtree_control"), "+memory +pids").is_ok()
                && has("cgroup.subtree_control"))
        && {
            // Without it there is no processor limit, and the rest still holds.
            let _ = fs::write(folder.join("cgroup.subtree_control"), "+cpu");
            true
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_offers_its_own_groups_and_an_unwritable_one_offers_none() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let mounts = format!(
            "30 20 0:1 / {} rw - cgroup cgroup rw,memory\n31 20 0:2 / {} rw - cgroup cgroup rw,pids\n32 20 0:3 / {} rw - cgroup2 cgroup2 rw\n",
            at("memory"),
            at("pids"),
            at("unified")
        );
        let own = "4:memory:/a/b\n8:pids:/\n0::/\n";
        assert_eq!(Parents::among(own, &mounts), Parents::Nowhere);
        fs::create_dir_all(dir.path().join("memory/a/b")).unwrap();
        fs::create_dir_all(dir.path().join("pids")).unwrap();
        fs::create_dir_all(dir.path().join("unified")).unwrap();
        fs::write(dir.path().join("unified/cgroup.controllers"), "hugetlb\n").unwrap();
        assert_eq!(
            Parents::among(own, &mounts),
            Parents::V1 {
                memory: dir.path().join("memory/a/b"),
                pids: dir.path().join("pids"),
                cpu: None
            }
        );
    }

    #[test]
    fn a_delegated_unified_group_comes_first_and_gets_its_limits() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("user.slice/prentice");
        fs::create_dir_all(&own).unwrap();
        for file in ["cgroup.controllers", "cgroup.subtree_control"] {
            fs::write(own.join(file), "cpu memory pids\n").unwrap();
        }
        let mounts = format!(
            "32 20 0:3 / {} rw - cgroup2 cgroup2 rw\n",
            dir.path().display()
        );
        // A file that is written twice in this imitation keeps the second value, so this one is
        // made unwritable to stand for the kernel's.
        let parents = Parents::V2(own.clone());
        assert_eq!(
            Parents::among("0::/user.slice/prentice\n", &mounts),
            parents
        );
        let group = parents.create("slot", &Limits::default()).unwrap();
        assert_eq!(group.tier(), LimitsTier::CgroupV2);
        let read = |file: &str| fs::read_to_string(own.join("slot").join(file)).unwrap();
        assert_eq!(read("memory.max"), (4_u64 << 30).to_string());
        assert_eq!(read("pids.max"), "512");
        assert_eq!(read("cpu.max"), "200000 100000");
        fs::write(own.join("slot/memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        fs::write(own.join("slot/pids.events"), "max 7\n").unwrap();
        assert_eq!(group.counters(), Counters { oom: 2, pids: 7 });
    }
}
