//! Kills a process at its K-th system call: `killer REPORT WHO K [--after FILE] -- PROGRAM [ARGUMENT…]` (Linux).
//!
//! WHO is `worker`, the first process that is started with `--worker` among its arguments, or `command`, PROGRAM itself. All threads of
//! that process are counted together, from its start, or from when FILE is there; everything else runs untraced. PROGRAM gets a session of
//! its own, without a terminal. K is a number; `none`,
//! which only counts; or `stop`, which stops the process before its first instruction for somebody else to trace. The REPORT is lines of
//! a word and a value: `pid`, `counted`, `filled` (writes that were done to files of the name `….next`), `call` (where it was killed). It
//! ends with PROGRAM's exit code.
#![allow(unsafe_code, reason = "the standard library does not trace processes")]
#![allow(clippy::disallowed_methods, reason = "this is no part of the program that reads its environment in one place")]

#[cfg(not(target_os = "linux"))]
#[expect(clippy::print_stderr, reason = "it is for people who test")]
fn main() -> std::process::ExitCode {
    eprintln!("killer: only Linux tells one process of another's system calls");
    std::process::ExitCode::from(2)
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::hash_map::{Entry, HashMap};
    use std::os::unix::process::CommandExt;
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode};
    use std::{fs, io, ptr};

    /// What `PTRACE_GET_SYSCALL_INFO` fills in, as far as it is asked for.
    #[repr(C)]
    #[derive(Default)]
    struct SyscallInfo {
        op: u8,
        arch: u32,
        instruction: u64,
        stack: u64,
        number: u64,
        arguments: [u64; 6],
    }

    const ENTRY: u8 = 1;
    const EXIT: u8 = 2;
    const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Goal {
        Count,
        Stop,
        Kill(u64),
    }

    struct Killer {
        report: PathBuf,
        /// The first started with `--worker`, else the command.
        wants_worker: bool,
        goal: Goal,
        after: Option<PathBuf>,
        command: i32,
        chosen: Option<i32>,
        /// The chosen process has not ended.
        alive: bool,
        counted: u64,
        /// The process that each thread belongs to.
        owners: HashMap<i32, i32>,
        /// Threads that are inside a write to a slot.
        filling: Vec<i32>,
        filled: u32,
        call: Option<String>,
    }

    #[expect(clippy::print_stderr, reason = "it is for people who test")]
    pub(super) fn main() -> ExitCode {
        let words: Vec<String> = std::env::args().skip(1).collect();
        match run(&words) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("killer: {error}");
                ExitCode::from(125)
            }
        }
    }

    fn run(words: &[String]) -> io::Result<u8> {
        let usage = || io::Error::other("usage: killer REPORT worker|command K|none|stop [--after FILE] -- PROGRAM [ARGUMENT…]");
        let split = words.iter().position(|word| word == "--").ok_or_else(usage)?;
        let (settings, command) = (&words[..split], &words[split + 1..]);
        let [report, who, goal, rest @ ..] = settings else { return Err(usage()) };
        let goal = match goal.as_str() {
            "none" => Goal::Count,
            "stop" => Goal::Stop,
            number => Goal::Kill(number.parse().map_err(|_| usage())?),
        };
        let after = match rest {
            [] => None,
            [flag, file] if flag == "--after" => Some(file.into()),
            _ => return Err(usage()),
        };
        let command = start(command)?;
        let mut killer = Killer {
            report: report.into(),
            wants_worker: who == "worker",
            goal,
            after,
            command,
            chosen: None,
            alive: false,
            counted: 0,
            owners: HashMap::new(),
            filling: Vec::new(),
            filled: 0,
            call: None,
        };
        killer.follow()
    }

    /// Starts the command so that it waits for us at its first instruction.
    fn start(words: &[String]) -> io::Result<i32> {
        let (program, arguments) = words.split_first().ok_or_else(|| io::Error::other("there is nothing to run"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        // SAFETY: the calls between fork and exec take numbers.
        unsafe {
            command.pre_exec(|| {
                // whoever runs the tests is never asked at their terminal
                libc::setsid();
                match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
                    -1 => Err(io::Error::last_os_error()),
                    _ => Ok(()),
                }
            });
        }
        let pid = i32::try_from(command.spawn()?.id()).map_err(io::Error::other)?;
        let mut status = 0;
        // SAFETY: the status lives through the call; the options are numbers.
        unsafe {
            libc::waitpid(pid, &raw mut status, 0);
            let options = libc::PTRACE_O_TRACESYSGOOD
                | libc::PTRACE_O_TRACEFORK
                | libc::PTRACE_O_TRACEVFORK
                | libc::PTRACE_O_TRACECLONE
                | libc::PTRACE_O_TRACEEXEC;
            if libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, options) == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(pid)
    }

    impl Killer {
        fn follow(&mut self) -> io::Result<u8> {
            self.owners.insert(self.command, self.command);
            // its exec is what stopped it
            self.started(self.command)?;
            self.go_on(self.command, 0);
            let mut code = None;
            while code.is_none() || self.alive {
                let mut status = 0;
                // SAFETY: the status lives through the call.
                let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
                if pid < 0 {
                    match io::Error::last_os_error() {
                        error if error.kind() == io::ErrorKind::Interrupted => continue,
                        _ => break,
                    }
                }
                if libc::WIFSTOPPED(status) {
                    self.stopped(pid, status)?;
                    continue;
                }
                self.owners.remove(&pid);
                if Some(pid) == self.chosen {
                    self.alive = false;
                }
                if pid == self.command {
                    let ended = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
                    code = Some(u8::try_from(ended).unwrap_or(u8::MAX));
                }
            }
            if self.goal != Goal::Stop {
                self.write_report()?;
            }
            Ok(code.unwrap_or(u8::MAX))
        }

        fn stopped(&mut self, pid: i32, status: i32) -> io::Result<()> {
            let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
            if let Entry::Vacant(place) = self.owners.entry(pid) {
                // a new process or thread: it begins with a stop that is for us
                place.insert(owner_of(pid));
                self.go_on(pid, if signal == libc::SIGSTOP { 0 } else { signal });
                return Ok(());
            }
            if signal == SYSCALL_STOP {
                if self.at_call(pid) {
                    self.go_on(pid, 0);
                }
            } else if event == libc::PTRACE_EVENT_EXEC {
                if self.started(pid)? {
                    self.go_on(pid, 0);
                }
            } else if event != 0 {
                self.go_on(pid, 0);
            } else {
                self.go_on(pid, signal);
            }
            Ok(())
        }

        /// Takes note of a process that has just executed a program; false where it is no longer ours.
        fn started(&mut self, pid: i32) -> io::Result<bool> {
            let is_worker =
                || fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.split(|b| *b == 0).any(|w| w == b"--worker"));
            let wanted = if self.wants_worker { is_worker() } else { pid == self.command };
            if self.chosen.is_some() || !wanted {
                return Ok(true);
            }
            self.chosen = Some(pid);
            if self.goal != Goal::Stop {
                self.alive = true;
                return Ok(true);
            }
            // SAFETY: the calls take numbers.
            unsafe {
                libc::kill(pid, libc::SIGSTOP);
                libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0);
            }
            self.write_report()?;
            Ok(false)
        }

        /// Counts a call of the chosen process at its entry; false where that was the last one.
        fn at_call(&mut self, pid: i32) -> bool {
            // the C libraries differ in the type of a request
            let get_syscall_info = 0x420e;
            let mut info = SyscallInfo::default();
            // SAFETY: the structure lives through the call, and its size is given.
            unsafe { libc::ptrace(get_syscall_info, pid, size_of::<SyscallInfo>(), ptr::from_mut(&mut info)) };
            if info.op == EXIT && self.filling.contains(&pid) {
                self.filling.retain(|one| *one != pid);
                self.filled += 1;
            }
            if info.op != ENTRY || self.owners.get(&pid) != self.chosen.as_ref() {
                return true;
            }
            let call = describe(pid, &info);
            let fills = call.starts_with("write ") && call.ends_with(".next");
            if self.after.as_deref().is_some_and(|file| !Path::exists(file)) {
                // what was written before the count counts as well
                self.filling.extend(fills.then_some(pid));
                return true;
            }
            self.after = None;
            self.counted += 1;
            if self.goal == Goal::Kill(self.counted) {
                self.call = Some(call);
                // SAFETY: the call takes numbers.
                unsafe { libc::kill(self.chosen.unwrap_or(pid), libc::SIGKILL) };
                return false;
            }
            self.filling.extend(fills.then_some(pid));
            true
        }

        /// Lets a stopped thread run: to its next call where it is counted, untraced where the chosen process is another one.
        fn go_on(&self, pid: i32, signal: i32) {
            let request = match self.chosen {
                Some(chosen) if self.owners.get(&pid) == Some(&chosen) => libc::PTRACE_SYSCALL,
                Some(_) => libc::PTRACE_DETACH,
                None => libc::PTRACE_CONT,
            };
            // SAFETY: the call takes numbers; one that died meanwhile is an error without consequence.
            unsafe { libc::ptrace(request, pid, 0, signal) };
        }

        fn write_report(&self) -> io::Result<()> {
            let mut text = format!("counted {}\nfilled {}\n", self.counted, self.filled);
            if let Some(pid) = self.chosen {
                text.push_str(&format!("pid {pid}\n"));
            }
            if let Some(call) = &self.call {
                text.push_str(&format!("call {call}\n"));
            }
            let temporary = self.report.with_extension("part");
            fs::write(&temporary, text)?;
            fs::rename(temporary, &self.report)
        }
    }

    /// The process that a thread belongs to.
    fn owner_of(thread: i32) -> i32 {
        let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
        line.and_then(|text| text.trim().parse().ok()).unwrap_or(thread)
    }

    /// The name of a call, and what its first argument leads to where that is a descriptor.
    fn describe(pid: i32, info: &SyscallInfo) -> String {
        let known = NAMES.iter().chain(OLD_NAMES).find(|(number, _, _)| u64::try_from(*number) == Ok(info.number));
        let Some((_, name, takes_descriptor)) = known else { return format!("call-{}", info.number) };
        let target = fs::read_link(format!("/proc/{pid}/fd/{}", info.arguments[0])).ok().filter(|_| *takes_descriptor);
        let target = target.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        match target {
            None => (*name).to_owned(),
            Some(file) if file.starts_with("socket:") => format!("{name} socket"),
            Some(file) if file.starts_with("pipe:") => format!("{name} pipe"),
            Some(file) => match file.rsplit_once('.') {
                Some((_, suffix)) => format!("{name} .{suffix}"),
                None => format!("{name} {file}"),
            },
        }
    }

    macro_rules! names {
        ($($call:ident $name:literal $descriptor:literal),* $(,)?) => { &[$((libc::$call, $name, $descriptor)),*] };
    }

    /// The same for calls that younger machines have only in a newer form.
    #[cfg(target_arch = "x86_64")]
    const OLD_NAMES: &[(libc::c_long, &str, bool)] = names![
        SYS_open "open" false, SYS_stat "stat" false, SYS_lstat "lstat" false, SYS_access "access" false, SYS_poll "poll" false,
        SYS_mkdir "mkdir" false, SYS_chmod "chmod" false, SYS_rename "rename" false, SYS_unlink "unlink" false,
        SYS_readlink "readlink" false, SYS_pipe2 "pipe2" false, SYS_dup2 "dup2" true, SYS_fork "fork" false,
        SYS_vfork "vfork" false, SYS_epoll_wait "epoll_wait" false, SYS_arch_prctl "arch_prctl" false,
    ];
    #[cfg(not(target_arch = "x86_64"))]
    const OLD_NAMES: &[(libc::c_long, &str, bool)] = &[];

    /// Calls that are named: number, name, and whether the first argument is a descriptor.
    const NAMES: &[(libc::c_long, &str, bool)] = names![
        SYS_read "read" true, SYS_write "write" true, SYS_pwrite64 "write" true, SYS_writev "write" true, SYS_close "close" true,
        SYS_fstat "fstat" true, SYS_lseek "lseek" true, SYS_mmap "mmap" false, SYS_mprotect "mprotect" false,
        SYS_munmap "munmap" false, SYS_brk "brk" false, SYS_rt_sigaction "rt_sigaction" false,
        SYS_rt_sigprocmask "rt_sigprocmask" false, SYS_ioctl "ioctl" true, SYS_madvise "madvise" false, SYS_socket "socket" false,
        SYS_connect "connect" true, SYS_sendto "sendto" true, SYS_recvfrom "recvfrom" true, SYS_sendmsg "sendmsg" true,
        SYS_recvmsg "recvmsg" true, SYS_shutdown "shutdown" true, SYS_bind "bind" true, SYS_listen "listen" true,
        SYS_accept4 "accept4" true, SYS_getsockname "getsockname" true, SYS_getpeername "getpeername" true,
        SYS_setsockopt "setsockopt" true, SYS_getsockopt "getsockopt" true, SYS_clone "clone" false, SYS_clone3 "clone3" false,
        SYS_execve "execve" false, SYS_exit "exit" false, SYS_exit_group "exit_group" false, SYS_wait4 "wait4" false,
        SYS_fcntl "fcntl" true, SYS_flock "flock" true, SYS_fsync "fsync" true, SYS_ftruncate "ftruncate" true,
        SYS_getdents64 "getdents64" true, SYS_futex "futex" false, SYS_sched_yield "sched_yield" false,
        SYS_clock_nanosleep "clock_nanosleep" false, SYS_epoll_create1 "epoll_create1" false, SYS_epoll_ctl "epoll_ctl" false,
        SYS_epoll_pwait "epoll_wait" false, SYS_eventfd2 "eventfd2" false, SYS_openat "openat" true, SYS_mkdirat "mkdirat" true,
        SYS_newfstatat "newfstatat" true, SYS_unlinkat "unlinkat" true, SYS_renameat2 "renameat2" true,
        SYS_renameat "renameat" true, SYS_fchmod "fchmod" true, SYS_fchmodat "fchmodat" true, SYS_statx "statx" true,
        SYS_getrandom "getrandom" false, SYS_prlimit64 "prlimit64" false, SYS_sigaltstack "sigaltstack" false,
        SYS_gettid "gettid" false, SYS_getpid "getpid" false, SYS_geteuid "geteuid" false, SYS_prctl "prctl" false,
        SYS_set_robust_list "set_robust_list" false, SYS_rseq "rseq" false, SYS_dup "dup" true, SYS_ppoll "ppoll" false,
        SYS_sched_getaffinity "sched_getaffinity" false, SYS_keyctl "keyctl" false, SYS_socketpair "socketpair" false,
    ];
}
