//! System calls an app may not make (spec: ace.md, "os/linux/seccomp-remove-set"
//! and "os/linux/seccomp-retain-set").
//!
//! An app that asks for nothing gets [`guarded`]: calls that change the kernel or
//! the machine, less those that a capability it was given is for.

use aci::isolator::name::{SECCOMP_REMOVE as REMOVE, SECCOMP_RETAIN as RETAIN};
use aci::isolator::{SeccompSet, errno};
use rustix::io::Errno;

use super::BundleError;
use super::config::{Seccomp, SyscallRule};
use super::note::Note;

/// What the app asks for.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Nothing,
    Retain(SeccompSet),
    Remove(SeccompSet),
}

/// What is done about it.
#[derive(Debug, Clone, PartialEq)]
enum Calls {
    /// Everything is allowed.
    All,
    /// These, and those of [`guarded`] that are not excepted, are blocked.
    Deny { named: Vec<String>, excepted: Vec<String> },
    /// Nothing else is allowed.
    Allow(Vec<String>),
}

/// A filter, and whether it needs `no_new_privs`.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) seccomp: Option<Seccomp>,
    pub(super) no_new_privileges: bool,
}

/// The filter for an app that runs as `uid` with these capabilities.
pub(super) fn filter(
    wish: &Wish,
    uid: u32,
    capabilities: &[&str],
    notes: &mut Vec<Note>,
) -> Result<Filter, BundleError> {
    let calls = calls(wish, notes);
    let (name, set) = match wish {
        Wish::Nothing => ("", None),
        Wish::Retain(set) => (RETAIN, Some(set)),
        Wish::Remove(set) => (REMOVE, Some(set)),
    };
    let errno = match set.and_then(SeccompSet::errno) {
        None => None,
        Some(text) => Some(errno(text).ok_or_else(|| BundleError::Unenforceable {
            name: name.to_owned(),
            fault: format!("errno {text:?} is none that Linux has"),
        })?),
    };
    let action = if errno.is_some() { "SCMP_ACT_ERRNO" } else { "SCMP_ACT_KILL_PROCESS" };
    let mut no_new_privileges = set.is_some() && uid != 0;
    let seccomp = match calls {
        Calls::All => {
            no_new_privileges = false;
            None
        }
        Calls::Deny { named, excepted } => {
            let guarded: Vec<String> = guarded(capabilities)
                .map(str::to_owned)
                .filter(|call| !named.contains(call) && !excepted.contains(call))
                .collect();
            let eperm = u32::try_from(Errno::PERM.raw_os_error()).ok();
            let rules = [
                SyscallRule { names: named, action, errno_ret: errno },
                SyscallRule { names: guarded, action: "SCMP_ACT_ERRNO", errno_ret: eperm },
            ];
            Some(seccomp("SCMP_ACT_ALLOW", None, rules))
        }
        Calls::Allow(mut names) => {
            // With the filter set last, the runtime itself needs the fewest calls.
            no_new_privileges = true;
            let missing: Vec<String> = START
                .iter()
                .map(|&call| call.to_owned())
                .filter(|call| !names.contains(call))
                .collect();
            names.extend(missing);
            let rule = SyscallRule { names, action: "SCMP_ACT_ALLOW", errno_ret: None };
            Some(seccomp(action, errno, [rule]))
        }
    };
    Ok(Filter { seccomp, no_new_privileges })
}

fn seccomp<const N: usize>(
    default_action: &'static str,
    default_errno_ret: Option<u32>,
    rules: [SyscallRule; N],
) -> Seccomp {
    Seccomp {
        default_action,
        default_errno_ret,
        architectures: architectures(),
        syscalls: rules.into_iter().filter(|rule| !rule.names.is_empty()).collect(),
    }
}

fn calls(wish: &Wish, notes: &mut Vec<Note>) -> Calls {
    let (subject, set, retain) = match wish {
        Wish::Nothing => return Calls::Deny { named: Vec::new(), excepted: Vec::new() },
        Wish::Retain(set) => (RETAIN, set.names(), true),
        Wish::Remove(set) => (REMOVE, set.names(), false),
    };
    let (wildcards, named): (Vec<_>, Vec<_>) =
        set.iter().filter(|call| !call.is_empty()).cloned().partition(|call| call.starts_with('@'));
    let has = |names: [&str; 2]| wildcards.iter().any(|w| names.contains(&w.as_str()));
    let mut named = named;
    for wildcard in &wildcards {
        if let Some(calls) = wildcard.strip_prefix("@systemd/").and_then(systemd_set) {
            let more: Vec<String> =
                calls.into_iter().map(str::to_owned).filter(|call| !named.contains(call)).collect();
            named.extend(more);
        } else if !KNOWN_WILDCARDS.contains(&wildcard.as_str()) {
            let told =
                format!("{wildcard} names no set that is known here; the rest of the list holds");
            notes.push(Note::ignored(subject, told));
        }
    }
    if retain {
        if wildcards.iter().any(|w| w == "@appc.io/all") {
            return Calls::All;
        }
        if has(["@rkt/default-whitelist", "@docker/default-whitelist"]) {
            let told =
                "the default list of another tool was asked for; the default list here is used";
            notes.push(Note::modified(subject, told));
            return Calls::Deny { named: Vec::new(), excepted: named };
        }
        return Calls::Allow(named);
    }
    if wildcards.iter().any(|w| w == "@appc.io/empty") {
        return Calls::Deny { named: Vec::new(), excepted: Vec::new() };
    }
    Calls::Deny { named, excepted: Vec::new() }
}

/// The calls of a set of systemd's (systemd.exec(5), `SystemCallFilter=`), of version 252. Each
/// line of the file is a set; a line that begins with a space belongs to the one before.
fn systemd_set(name: &str) -> Option<Vec<&'static str>> {
    let words = |name: &str| {
        let mut lines = include_str!("systemd_sets.txt").lines();
        let first =
            lines.find_map(|line| line.strip_prefix('@')?.strip_prefix(name)?.strip_prefix(' '))?;
        let more = lines.take_while(|line| line.starts_with(' '));
        Some([first].into_iter().chain(more).flat_map(str::split_whitespace).collect::<Vec<_>>())
    };
    let (mut calls, mut open) = (Vec::new(), vec![name]);
    let mut seen = Vec::new();
    while let Some(name) = open.pop() {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        for word in words(name)? {
            match word.strip_prefix('@') {
                Some(other) => open.push(other),
                None if calls.contains(&word) => {}
                None => calls.push(word),
            }
        }
    }
    Some(calls)
}

const KNOWN_WILDCARDS: [&str; 6] = [
    "@appc.io/all",
    "@appc.io/empty",
    "@rkt/default-whitelist",
    "@docker/default-whitelist",
    "@rkt/default-blacklist",
    "@docker/default-blacklist",
];

/// Calls that reach past the container, each with the capability that is for it.
const GUARDED: [(&str, &[&str]); 12] = [
    ("CAP_SYS_PACCT", &["acct"]),
    (
        "CAP_SYS_ADMIN",
        &[
            "bpf",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "setns",
            "swapoff",
            "swapon",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("CAP_SYS_MODULE", &["create_module", "delete_module", "finit_module", "init_module"]),
    ("CAP_SYS_BOOT", &["kexec_file_load", "kexec_load", "reboot"]),
    ("CAP_SYS_TIME", &["adjtimex", "clock_adjtime", "clock_settime", "settimeofday", "stime"]),
    ("CAP_SYS_RAWIO", &["ioperm", "iopl"]),
    ("CAP_SYS_PTRACE", &["kcmp", "process_vm_readv", "process_vm_writev", "userfaultfd"]),
    ("CAP_SYS_NICE", &["get_mempolicy", "mbind", "move_pages", "set_mempolicy"]),
    ("CAP_DAC_READ_SEARCH", &["name_to_handle_at", "open_by_handle_at"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    ("CAP_SYSLOG", &["syslog"]),
    // Not kept apart by namespaces, or relics: for nobody.
    (
        "",
        &[
            "_sysctl",
            "add_key",
            "get_kernel_syms",
            "keyctl",
            "nfsservctl",
            "query_module",
            "request_key",
            "sysfs",
            "uselib",
            "ustat",
            "vm86",
            "vm86old",
        ],
    ),
];

/// The calls that are blocked, with EPERM, unless a capability is for them.
fn guarded(capabilities: &[&str]) -> impl Iterator<Item = &'static str> {
    GUARDED
        .iter()
        .filter(|(capability, _)| !capabilities.contains(capability))
        .flat_map(|(_, calls)| calls.iter().copied())
}

/// What an OCI runtime itself still calls between setting the filter and the
/// program's first instruction, and what ends a program.
const START: [&str; 38] = [
    "brk",
    "capget",
    "capset",
    "chdir",
    "clone",
    "close",
    "close_range",
    "epoll_ctl",
    "epoll_pwait",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fchdir",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getdents64",
    "getpid",
    "getppid",
    "gettid",
    "madvise",
    "mmap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "openat",
    "prctl",
    "read",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "sigaltstack",
    "tgkill",
    "write",
    "writev",
];

fn architectures() -> Vec<&'static str> {
    // The 32-bit modes of the same machine take the same filter.
    match std::env::consts::ARCH {
        "x86_64" => vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => vec!["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use aci::isolator::IsolatorValue;
    use serde_json::Value;

    use super::*;
    use crate::bundle::isolators;
    use crate::bundle::tests::vectors;

    fn wish(name: &str, calls: &[&str], errno: &str) -> Wish {
        let value = serde_json::json!({"set": calls, "errno": errno});
        match aci::isolator::parse(name, &value).unwrap() {
            IsolatorValue::SeccompRetain(set) => Wish::Retain(set),
            IsolatorValue::SeccompRemove(set) => Wish::Remove(set),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn seccomp_agrees_with_the_reference_vectors() {
        let Some(all) = vectors("rkt_runtime") else { return };
        let mut seen = 0;
        for vector in all.iter().filter(|v| v["op"] == "seccomp") {
            let text = vector["input"]["isolators"].as_str().unwrap();
            let uid = u32::try_from(vector["input"]["uid"].as_u64().unwrap()).unwrap();
            // That groups of systemd fail is a matter of the machine the vector ran on.
            if text.contains("@systemd") {
                continue;
            }
            let list = crate::bundle::tests::isolators(text);
            let wishes = isolators::read(&list, &[], &mut Vec::new());
            let built =
                wishes.and_then(|w| filter(&w.seccomp, uid, &[], &mut Vec::new()).map(|f| (w, f)));
            seen += 1;
            if vector["expect"] != "ok" {
                assert!(built.is_err(), "{vector}");
                continue;
            }
            let (wishes, built) = built.unwrap_or_else(|e| panic!("{vector}: {e}"));
            let expected = &vector["expected"];
            if expected.get("filter").is_some_and(Value::is_null) {
                assert!(built.seccomp.is_none() && !built.no_new_privileges, "{vector}");
                continue;
            }
            let forced = expected["force_no_new_privileges"] == true;
            match calls(&wishes.seccomp, &mut Vec::new()) {
                Calls::Allow(names) => {
                    assert_eq!(expected["mode"], "allow", "{vector}");
                    assert_eq!(expected["syscalls"], serde_json::json!(names), "{vector}");
                }
                Calls::Deny { named, .. } if expected["mode"] == "deny" => {
                    if expected["syscalls"].is_array() {
                        assert_eq!(expected["syscalls"], serde_json::json!(named), "{vector}");
                    }
                    assert_eq!(built.no_new_privileges, forced, "{vector}");
                }
                // The default list of the reference allows; the one here denies.
                Calls::Deny { excepted, .. } => {
                    assert!(
                        expected["syscalls"].to_string().contains("default-whitelist"),
                        "{vector}"
                    );
                    assert!(
                        excepted.iter().all(|call| expected["syscalls"].to_string().contains(call))
                    );
                }
                Calls::All => panic!("{vector}"),
            }
        }
        assert!(seen > 8);
    }

    #[test]
    fn guarded_calls_are_freed_by_their_capability() {
        let blocked = |capabilities: &[&str]| -> Vec<String> {
            let filter = filter(&Wish::Nothing, 0, capabilities, &mut Vec::new()).unwrap();
            filter.seccomp.unwrap().syscalls.remove(0).names
        };
        assert!(blocked(&[]).contains(&"mount".to_owned()));
        assert!(blocked(&["CAP_SYS_TIME"]).contains(&"mount".to_owned()));
        assert!(!blocked(&["CAP_SYS_ADMIN"]).contains(&"mount".to_owned()));
        assert!(blocked(&["CAP_SYS_ADMIN"]).contains(&"keyctl".to_owned()));
    }

    #[test]
    fn remove_set_keeps_the_guarded_calls_blocked() {
        let remove = wish(REMOVE, &["mkdir", "mount"], "E2BIG");
        let filter = filter(&remove, 0, &[], &mut Vec::new()).unwrap();
        let rules = filter.seccomp.unwrap().syscalls;
        assert_eq!(
            (rules[0].names.as_slice(), rules[0].errno_ret),
            (&["mkdir", "mount"].map(String::from)[..], Some(7))
        );
        assert!(rules[1].names.contains(&"reboot".to_owned()));
        assert!(!rules[1].names.contains(&"mount".to_owned()));
    }

    #[test]
    fn unknown_wildcard_is_told() {
        let mut notes = Vec::new();
        filter(&wish(RETAIN, &["@systemd/none", "read"], ""), 0, &[], &mut notes).unwrap();
        assert!(notes[0].to_string().contains("@systemd/none"), "{notes:?}");
    }

    #[test]
    fn sets_of_systemd_are_spelled_out_with_the_sets_in_them() {
        assert_eq!(
            systemd_set("clock").unwrap(),
            [
                "adjtimex",
                "clock_adjtime",
                "clock_adjtime64",
                "clock_settime",
                "clock_settime64",
                "settimeofday"
            ]
        );
        // @privileged holds @clock, @chown and more.
        let privileged = systemd_set("privileged").unwrap();
        assert!(
            ["settimeofday", "chown", "pivot_root"].iter().all(|call| privileged.contains(call))
        );
        assert!(privileged.iter().all(|call| !call.starts_with('@')));
        assert!(systemd_set("system-service").unwrap().len() > 200);
        assert!(systemd_set("cloc").is_none() && systemd_set("").is_none());
        let mut notes = Vec::new();
        let calls = calls(&wish(REMOVE, &["@systemd/clock", "mkdir"], ""), &mut notes);
        assert_eq!(notes, []);
        let Calls::Deny { named, .. } = calls else { panic!("{calls:?}") };
        assert!(["mkdir", "settimeofday"].iter().all(|call| named.iter().any(|n| n == call)));
    }
}
