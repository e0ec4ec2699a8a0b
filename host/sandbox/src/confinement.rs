//! What a compile process takes away from itself before it looks at a stranger's component: memory, time, files,
//! network, other programs.
//!
//! All it can do afterwards, on Linux, is compute, in as many threads as it likes, and pass bytes through the three
//! streams that it was given. Whatever else it tries is denied, so that a fault in the compiler gains an attacker
//! nothing but a verdict. Other systems limit its time and priority only.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// Processor time of all its threads together. A language runtime takes half a minute, on slow machines more.
pub(crate) const CPU_SECONDS: u64 = 120;

/// Address space beyond what the process had when it began.
pub(crate) const MEMORY_BYTES: u64 = 2 << 30;

/// Between the signal for too much processor time and the kernel's own end of it.
const CPU_GRACE_SECONDS: u64 = 5;

/// A compile process gives way to the tasks that run beside it.
const NICENESS: i32 = 5;

/// Confines this process for good. It must have one thread only.
///
/// # Errors
/// The kernel refuses; then nothing must be compiled here.
pub(crate) fn confine() -> io::Result<()> {
    nice(NICENESS)?;
    limit(Resource::Cpu, CPU_SECONDS, CPU_SECONDS + CPU_GRACE_SECONDS)?;
    limit(Resource::Core, 0, 0)?;
    kernel::confine()
}

fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let hard = getrlimit(resource).maximum.map_or(hard, |given| given.min(hard));
    setrlimit(resource, Rlimit { current: Some(soft.min(hard)), maximum: Some(hard) })?;
    Ok(())
}

/// What only this kernel can take away.
#[cfg(target_os = "linux")]
mod kernel {
    use std::collections::BTreeMap;
    use std::io;

    use libc::c_long;
    use rustix::process::{Resource, Signal, set_parent_process_death_signal};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    use super::{MEMORY_BYTES, limit};

    pub(super) fn confine() -> io::Result<()> {
        // Nobody waits for the verdict any more once the host is gone.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // Should memory run out all the same, then this is what has to go. Where it cannot be said, it goes without.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        let memory = address_space()?.saturating_add(MEMORY_BYTES);
        limit(Resource::As, memory, memory)?;
        limit(Resource::Fsize, 0, 0)?;
        filter_system_calls()
    }

    /// Bytes of address space that this process has.
    fn address_space() -> io::Result<u64> {
        let pages = std::fs::read_to_string("/proc/self/statm")?;
        let pages = pages.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
        let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm is not as expected"))?;
        Ok(pages.saturating_mul(rustix::param::page_size() as u64))
    }

    /// What computing, threads and memory need, and reading and writing what is open. Nothing opens, connects or
    /// starts anything.
    const ALLOWED: &[c_long] = &[
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_tgkill,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    fn filter_system_calls() -> io::Result<()> {
        let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let rules = ALLOWED.iter().map(|&call| (call, Vec::new())).collect::<BTreeMap<_, _>>();
        let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
        let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, architecture);
        let program: BpfProgram =
            filter.and_then(TryInto::try_into).map_err(|error| io::Error::other(error.to_string()))?;
        seccompiler::apply_filter(&program).map_err(|error| io::Error::other(error.to_string()))
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    pub(super) fn confine() -> std::io::Result<()> {
        Ok(())
    }
}
