//! Child processes that never outlive their owner.
//!
//! Output goes to a file, so that a full pipe never stops the child and a failed test can show what
//! it said. A child that is dropped is killed, by its own process id, and waited for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a wait looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The longest that a signal to stop may take to be heeded.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A running program and the file it writes to.
#[derive(Debug)]
pub struct Child {
    name: String,
    inner: std::process::Child,
    log: PathBuf,
}

/// A child that did not start, or did not do what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started at all.
    #[error("{program} cannot be started")]
    Spawn {
        /// The program as it was called.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// The log could not be created.
    #[error("{path} cannot be written", path = path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system refused a signal or a wait.
    #[error("{name} cannot be signalled or waited for")]
    Control {
        /// Name of the child.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended while something was expected of it.
    #[error("{name} ended with {status} before {awaited}; it said:\n{tail}")]
    Ended {
        /// Name of the child.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What was waited for.
        awaited: String,
        /// The end of its log.
        tail: String,
    },
    /// It took too long.
    #[error("{name} had {within:?} until {awaited}; it said:\n{tail}")]
    Late {
        /// Name of the child.
        name: String,
        /// The limit.
        within: Duration,
        /// What was waited for.
        awaited: String,
        /// The end of its log.
        tail: String,
    },
}

impl Child {
    /// Starts `command` with its output appended to `log`. The `name` is for messages.
    ///
    /// # Errors
    /// [`ProcessError::Log`] and [`ProcessError::Spawn`].
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self, ProcessError> {
        let unwritable = |source| ProcessError::Log {
            path: log.to_owned(),
            source,
        };
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(unwritable)?;
        let err = out.try_clone().map_err(unwritable)?;
        let inner = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|source| {
                let program = command.get_program().to_string_lossy().into_owned();
                ProcessError::Spawn { program, source }
            })?;
        Ok(Self {
            name: name.to_owned(),
            inner,
            log: log.to_owned(),
        })
    }

    /// Process id, valid until the child has been waited for.
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Where its output goes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All it has said so far; empty if the log cannot be read.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// The last lines it has said.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log(), lines)
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// [`ProcessError::Control`].
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        self.inner.try_wait().map_err(|source| self.refused(source))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// [`ProcessError::Late`] when it still runs after `within`, [`ProcessError::Control`].
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if start.elapsed() >= within {
                return Err(self.late("its end", within));
            }
            sleep(POLL_INTERVAL);
        }
    }

    /// Waits until `done` says so, while the child runs. `awaited` is for the message.
    ///
    /// # Errors
    /// [`ProcessError::Ended`], [`ProcessError::Late`] and [`ProcessError::Control`].
    pub fn wait_until(
        &mut self,
        awaited: &str,
        within: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<(), ProcessError> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Err(ProcessError::Ended {
                    name: self.name.clone(),
                    status,
                    awaited: awaited.to_owned(),
                    tail: self.log_tail(20),
                });
            }
            if done(self) {
                return Ok(());
            }
            if start.elapsed() >= within {
                return Err(self.late(awaited, within));
            }
            sleep(POLL_INTERVAL);
        }
    }

    /// Waits until `text` is in its log.
    ///
    /// # Errors
    /// As [`Self::wait_until`].
    pub fn wait_for_log(&mut self, text: &str, within: Duration) -> Result<(), ProcessError> {
        let awaited = format!("saying {text:?}");
        self.wait_until(&awaited, within, |child| child.log().contains(text))
    }

    /// Asks it to end and to clean up (SIGTERM).
    ///
    /// # Errors
    /// [`ProcessError::Control`], for one when it has ended already.
    pub fn terminate(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGTERM)
    }

    /// Tells it that its configuration has changed (SIGHUP).
    ///
    /// # Errors
    /// As [`Self::terminate`].
    pub fn hang_up(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGHUP)
    }

    /// Freezes it (SIGSTOP), and waits until its last thread stands still: it keeps its sockets and answers nothing.
    ///
    /// # Errors
    /// As [`Self::terminate`], and when it does not stand still in time.
    pub fn pause(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGSTOP)?;
        self.wait_until("standing still", PAUSE_MAX, Self::stands_still)
    }

    /// Whether each of its threads has been stopped.
    fn stands_still(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.inner.id())) else {
            return false;
        };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows on the name, which is in brackets and may hold anything.
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// As [`Self::terminate`].
    pub fn resume(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGCONT)
    }

    /// Ends it at once (SIGKILL) and waits; no effect on one that has ended.
    pub fn kill(&mut self) {
        // Either fails only if it has been waited for already.
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }

    fn signal(&mut self, signal: Signal) -> Result<(), ProcessError> {
        // The id of a child that was waited for may be somebody else's by now.
        if let Some(status) = self.ended()? {
            let source = std::io::Error::other(format!("it has ended with {status}"));
            return Err(self.refused(source));
        }
        let pid = i32::try_from(self.inner.id()).expect("a process id fits pid_t");
        kill(Pid::from_raw(pid), signal).map_err(|errno| self.refused(errno.into()))
    }

    fn refused(&self, source: std::io::Error) -> ProcessError {
        ProcessError::Control {
            name: self.name.clone(),
            source,
        }
    }

    fn late(&self, awaited: &str, within: Duration) -> ProcessError {
        ProcessError::Late {
            name: self.name.clone(),
            within,
            awaited: awaited.to_owned(),
            tail: self.log_tail(20),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
