//! Child processes that end with the test, and bounded waiting.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a server may take to answer its port.
const READY: Duration = Duration::from_secs(30);
/// How long a server may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How often a condition is looked at.
const TICK: Duration = Duration::from_millis(5);

/// Calls `look` until it returns something, at most for `limit`.
///
/// # Panics
/// When the time is over; `what` says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        thread::sleep(TICK);
    }
}

/// A running server: its group of processes is ended when this is dropped (SIGTERM, then SIGKILL), and by the kernel
/// when the test's own thread dies first. If the test is failing, the log is printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    logs: Vec<PathBuf>,
}

impl Process {
    /// Starts `program` in its own process group, both outputs going to `DIR/NAME.log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(name: &str, dir: &Path, program: &str, configure: impl FnOnce(&mut Command)) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::options().append(true).create(true).open(&log).expect("own log file");
        // setpriv: so that nothing outlives a test runner that was itself killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program);
        command.stdin(Stdio::null()).stdout(out.try_clone().expect("own log file")).stderr(out);
        configure(&mut command);
        let child = command.process_group(0).spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self { name: name.to_owned(), child, logs: vec![log] }
    }

    /// Another file to print when the test fails.
    pub fn also_log(&mut self, path: PathBuf) {
        self.logs.push(path);
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The standard output, if it was asked for with `Stdio::piped`.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits until each address takes connections.
    ///
    /// # Panics
    /// When the process ends before that, or takes too long.
    #[track_caller]
    pub fn wait_for_ports(&mut self, ports: &[SocketAddr]) {
        for port in ports {
            until(&format!("{} to listen on {port}", self.name.clone()), READY, || {
                if let Some(status) = self.ended() {
                    panic!("{} ended with {status} instead of listening on {port}", self.name);
                }
                TcpStream::connect_timeout(port, Duration::from_secs(1)).ok()
            });
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        let mut all = String::new();
        for path in &self.logs {
            all += &String::from_utf8_lossy(&fs::read(path).unwrap_or_default());
        }
        all
    }

    /// Sends SIGTERM to the process alone and waits for it to end by itself.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    #[track_caller]
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        let _ = kill_process(self.pid(), Signal::TERM);
        self.wait(limit)
    }

    /// Sends SIGKILL to the process and its group, and waits until it is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        self.child.wait().expect("our own child");
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        until(&format!("{} to end", self.name.clone()), limit, || self.ended())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(self.pid(), Signal::TERM);
            let start = Instant::now();
            while start.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(TICK);
            }
        }
        // Also when the leader has ended: what it left behind is still in its group.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let cut = log.len().saturating_sub(8_000);
            let cut = (cut..log.len()).find(|i| log.is_char_boundary(*i)).unwrap_or(0);
            eprintln!("--- log of {} ---\n{}", self.name, &log[cut..]);
        }
    }
}

/// A program that has run to its end.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, invalid UTF-8 replaced.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
    what: String,
}

impl Finished {
    /// The standard output as text, invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Itself, if the program succeeded.
    ///
    /// # Panics
    /// With all it printed, if it did not.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// The exit code; a death by signal N is 128 + N, as shells have it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.stdout[..self.stdout.len().min(4_000)];
        write!(
            f,
            "{}\nended with {} after {:?}\n--- stdout ---\n{}\n--- stderr ---\n{}",
            self.what,
            self.status,
            self.took,
            String::from_utf8_lossy(shown),
            self.stderr
        )
    }
}

/// Runs a program to its end and returns what it printed. It is killed when it takes longer than `limit`.
///
/// # Panics
/// When it cannot be started or takes too long.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    run_with_input(command, b"", limit)
}

/// As [`run`], with something on the standard input.
///
/// # Panics
/// When it cannot be started or takes too long.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8], limit: Duration) -> Finished {
    let what = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let start = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{what} does not start: {e}"));
    let mut stdin = child.stdin.take().expect("piped");
    let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let finished = thread::scope(|scope| {
        // A program that does not read its input closes it, which is no failure of ours.
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        let out = scope.spawn(move || {
            let mut all = Vec::new();
            out.read_to_end(&mut all).map(|_| all)
        });
        let err = scope.spawn(move || {
            let mut all = Vec::new();
            err.read_to_end(&mut all).map(|_| all)
        });
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                break Some(status);
            }
            if start.elapsed() > limit {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                break None;
            }
            thread::sleep(TICK);
        };
        let stdout = out.join().expect("reading does not panic").expect("a pipe can be read");
        let stderr = err.join().expect("reading does not panic").expect("a pipe can be read");
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        match status {
            Some(status) => Ok(Finished { status, stdout, stderr, took: start.elapsed(), what: what.clone() }),
            None => Err(format!("{}\n{stderr}", String::from_utf8_lossy(&stdout))),
        }
    });
    finished.unwrap_or_else(|printed| panic!("{what} did not end within {limit:?}; it printed:\n{printed}"))
}
