//! Running other programs: with their output shown, or kept in a log behind one ticking line.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::paths::shown;

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A line that cannot be rewritten, as in CI, is repeated this often.
const PLAIN_TICK: Duration = Duration::from_secs(20);

/// Whether to tick while a step runs; two at once would write over each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Ticking,
    Silent,
}

/// A child that is killed and waited for when this is dropped.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Either fails only if the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program whose errors and progress are shown, and hands over its output line by line; each
/// line is shown too.
pub(crate) fn streamed(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child = Guard(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", name(command)))?,
    );
    let stdout = child.0.stdout.take().expect("it was piped");
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        on_line(text.trim_end());
        line.clear();
    }
    Ok(child.0.wait()?)
}

/// Runs a program with its output shown as it is.
pub(crate) fn shown_whole(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{} cannot be started", name(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

/// Runs a program with its output in `log`, for at most `limit`.
///
/// # Errors
/// When it fails, is not done in time, or cannot be started; the error shows the end of the log.
pub(crate) fn logged(
    label: &str,
    command: &mut Command,
    log: &Path,
    limit: Duration,
    progress: Progress,
) -> Result<()> {
    let status = waited(label, command, log, limit, progress)?;
    if !status.success() {
        bail!(
            "{label}: {} ended with {status}; {}",
            name(command),
            end_of(log)
        );
    }
    Ok(())
}

/// As [`logged`], but a failing status is the caller's to judge.
pub(crate) fn waited(
    label: &str,
    command: &mut Command,
    log: &Path,
    limit: Duration,
    progress: Progress,
) -> Result<ExitStatus> {
    let (out, err) = log_files(log)?;
    let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    let mut child = Guard(child.with_context(|| format!("{} cannot be started", name(command)))?);
    let mut ticker = Ticker::new(label, progress);
    let start = Instant::now();
    loop {
        if let Some(status) = child.0.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            bail!("{label}: not done after {}; {}", secs(limit), end_of(log));
        }
        ticker.tick();
        sleep(POLL_INTERVAL);
    }
}

/// A fresh log, twice: for output and for errors, in the order in which they are written.
pub(crate) fn log_files(log: &Path) -> Result<(File, File)> {
    let unwritable = || format!("{} cannot be written", shown(log));
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(unwritable)?;
    }
    // A log of an earlier run; if it cannot go, opening it says why.
    let _ = fs::remove_file(log);
    let out = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(unwritable)?;
    let err = out.try_clone()?;
    Ok((out, err))
}

/// The last lines of a log, with its path.
pub(crate) fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(20)..].join("\n  ");
    format!("the end of {}:\n  {end}", shown(log))
}

/// The standard output of a program that succeeds, or `None`.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A length of time as `12.3 s` or `4 min 05 s`.
pub(crate) fn secs(length: Duration) -> String {
    let whole = length.as_secs();
    if whole >= 100 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", length.as_secs_f64())
    }
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// One line that says how long something has been going on.
struct Ticker<'a> {
    label: &'a str,
    progress: Progress,
    start: Instant,
    said_at: Instant,
    in_place: bool,
}

impl<'a> Ticker<'a> {
    fn new(label: &'a str, progress: Progress) -> Self {
        let now = Instant::now();
        let in_place = io::stdout().is_terminal();
        Self {
            label,
            progress,
            start: now,
            said_at: now,
            in_place,
        }
    }

    fn tick(&mut self) {
        let interval = if self.in_place {
            Duration::from_secs(1)
        } else {
            PLAIN_TICK
        };
        if self.progress == Progress::Silent || self.said_at.elapsed() < interval {
            return;
        }
        self.said_at = Instant::now();
        let elapsed = self.start.elapsed().as_secs();
        if self.in_place {
            print!("\r  {} ... {elapsed} s ", self.label);
            // Progress that cannot be shown is no reason to stop.
            let _ = io::stdout().flush();
        } else {
            println!("  {} ... {elapsed} s", self.label);
        }
    }
}

impl Drop for Ticker<'_> {
    fn drop(&mut self) {
        if self.in_place && self.progress == Progress::Ticking {
            print!("\r\x1b[K");
            let _ = io::stdout().flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_readable() {
        assert_eq!(secs(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(secs(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn a_program_that_fails_shows_the_end_of_its_log() {
        let log = crate::paths::target().join("tmp-xtask-fails.log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; exit 3"]);
        let limit = Duration::from_secs(10);
        let error = logged("a step", &mut command, &log, limit, Progress::Silent).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("a step: sh ended with exit status: 3"),
            "{text}"
        );
        assert!(text.ends_with("one\n  two"), "{text}");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let log = crate::paths::target().join("tmp-xtask-hangs.log");
        let mut command = Command::new("sleep");
        command.arg("60");
        let limit = Duration::from_millis(100);
        let error = logged("a nap", &mut command, &log, limit, Progress::Silent).unwrap_err();
        assert!(
            error.to_string().starts_with("a nap: not done after 0.1 s"),
            "{error}"
        );
        fs::remove_file(log).unwrap();
    }
}
