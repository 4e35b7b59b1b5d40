//! Success for changes of owners that a namespace with one ID cannot make.
//!
//! A user without subordinate IDs is root inside and nobody else, and a package manager that gives a
//! file to its owner would fail. These calls are answered with success and do nothing, as
//! Charliecloud's `--seccomp` does.

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::error::Fault;

/// Calls that change an owner, an identity or capabilities, by the names that OCI runtimes use.
pub(super) const NAMES: [&str; 28] = [
    "chown",
    "chown32",
    "fchown",
    "fchown32",
    "fchownat",
    "lchown",
    "lchown32",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setuid",
    "setuid32",
    "capset",
    "mknod",
    "mknodat",
];

/// Those of them that only some architectures have.
#[cfg(target_arch = "x86_64")]
const OLD: [i64; 2] = [libc::SYS_chown, libc::SYS_lchown];
#[cfg(not(target_arch = "x86_64"))]
const OLD: [i64; 0] = [];

/// Those that every architecture has.
const CALLS: [i64; 12] = [
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    libc::SYS_capset,
];

/// Calls that make a file, and which of their arguments is its mode: only devices are faked.
#[cfg(target_arch = "x86_64")]
const MAKING: [(i64, u8); 2] = [(libc::SYS_mknod, 1), (libc::SYS_mknodat, 2)];
#[cfg(not(target_arch = "x86_64"))]
const MAKING: [(i64, u8); 1] = [(libc::SYS_mknodat, 2)];

/// Binds this thread, and every process it starts, to the filter.
pub(super) fn install() -> Result<(), Fault> {
    let failed = |error: seccompiler::Error| Fault::Setup {
        doing: "fake changes of owners".to_owned(),
        why: error.to_string(),
    };
    apply_filter(&filter().map_err(|error| failed(error.into()))?).map_err(failed)
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let device = |argument: u8, kind: u32| {
        let is_kind = SeccompCmpOp::MaskedEq(u64::from(libc::S_IFMT));
        let condition =
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is_kind, kind.into())?;
        SeccompRule::new(vec![condition])
    };
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.into_iter().chain(OLD).map(|call| (call, Vec::new())).collect();
    for (call, argument) in MAKING {
        let devices = vec![device(argument, libc::S_IFCHR)?, device(argument, libc::S_IFBLK)?];
        rules.insert(call, devices);
    }
    let target = TargetArch::try_from(std::env::consts::ARCH)?;
    let success = SeccompAction::Errno(0);
    let mut program: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, success, target)?.try_into()?;
    allow_other_architectures(&mut program);
    Ok(program)
}

/// The filter begins by killing whoever makes calls of another architecture. A program of 32 bits is
/// let through instead: its changes of owners fail, and it can do no more than the others.
fn allow_other_architectures(program: &mut BpfProgram) {
    let kill = |k: u32| k == libc::SECCOMP_RET_KILL_PROCESS;
    if let Some(first) = program.iter_mut().find(|it| it.code == 0x06 && kill(it.k)) {
        first.k = libc::SECCOMP_RET_ALLOW;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_kills_nobody() {
        let program = filter().unwrap();
        assert!(!program.is_empty());
        let kills =
            |k: u32| k == libc::SECCOMP_RET_KILL_PROCESS || k == libc::SECCOMP_RET_KILL_THREAD;
        assert!(!program.iter().any(|it| it.code == 0x06 && kills(it.k)));
    }
}
