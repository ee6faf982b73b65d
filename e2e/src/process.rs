//! A program that a test started: its output by line, its input, its end.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

const LINES_MAX: usize = 10_000;

/// A child process. Dropping it kills it by its pid: no test leaves a process behind, also when it fails.
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    /// What it printed so far, for the message of a failed test.
    seen: Vec<String>,
}

impl Process {
    /// Starts the command. Both its outputs are read, as one sequence of lines.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start of {name}"))?;
        let (sender, lines) = mpsc::channel(LINES_MAX);
        if let Some(output) = child.stdout.take() {
            read_lines(output, sender.clone());
        }
        if let Some(output) = child.stderr.take() {
            read_lines(output, sender);
        }
        let input = child.stdin.take();
        Ok(Self {
            name: name.to_owned(),
            child,
            input,
            lines,
            seen: Vec::new(),
        })
    }

    /// The process id, `None` once it has been waited for.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The next line of output within the time.
    ///
    /// # Errors
    /// When none comes or the program has ended; the message has its output.
    pub async fn line(&mut self, time: Duration) -> Result<String> {
        match timeout(time, self.lines.recv()).await {
            Ok(Some(line)) => {
                self.seen.push(line.clone());
                Ok(line)
            }
            Ok(None) => bail!(
                "{} has ended; it said:\n{}",
                self.name,
                self.seen.join("\n")
            ),
            Err(_elapsed) => bail!(
                "{} was silent for {} s; it said:\n{}",
                self.name,
                time.as_secs(),
                self.seen.join("\n")
            ),
        }
    }

    /// The first line of output for which `pick` gives a value; other lines are passed over.
    ///
    /// # Errors
    /// When no such line comes within the time.
    pub async fn pick<T>(
        &mut self,
        time: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let all = async {
            loop {
                let line = self.line(time).await?;
                if let Some(value) = pick(&line) {
                    return Ok(value);
                }
            }
        };
        match timeout(time, all).await {
            Ok(value) => value,
            Err(_elapsed) => bail!(
                "{} did not say it in {} s; it said:\n{}",
                self.name,
                time.as_secs(),
                self.seen.join("\n")
            ),
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When the program has ended.
    pub async fn write_line(&mut self, line: &str) -> Result<()> {
        let input = self
            .input
            .as_mut()
            .with_context(|| format!("{} has no input", self.name))?;
        input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .with_context(|| format!("{} does not read", self.name))
    }

    /// Whether it is still running.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it has not within the time.
    pub async fn ended(&mut self, time: Duration) -> Result<ExitStatus> {
        timeout(time, self.child.wait())
            .await
            .with_context(|| format!("{} does not end", self.name))?
            .context("wait")
    }
}

fn read_lines(output: impl AsyncRead + Unpin + Send + 'static, sender: mpsc::Sender<String>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // When nobody takes the lines they are dropped: a program must not block on its own log.
            if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(line) {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    fn shell(text: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        Process::start("shell", command).unwrap()
    }

    #[tokio::test]
    async fn lines_of_both_outputs_are_read() {
        let mut process = shell("echo out; echo err >&2; read line; echo got $line");
        let mut lines = [
            process.line(TIME).await.unwrap(),
            process.line(TIME).await.unwrap(),
        ];
        lines.sort();
        assert_eq!(lines, ["err", "out"]);
        process.write_line("word").await.unwrap();
        assert_eq!(process.line(TIME).await.unwrap(), "got word");
        assert!(process.ended(TIME).await.unwrap().success());
    }

    #[tokio::test]
    async fn a_dropped_process_is_killed() {
        let process = shell("sleep 600");
        let folder = format!("/proc/{}", process.pid().unwrap());
        drop(process);
        crate::wait::until("its end", TIME, async || {
            let state = std::fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
            Ok(crate::wait::Seen::when(
                state.is_empty() || state.contains(") Z "),
                || state,
            ))
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn an_ended_process_is_reported_with_its_output() {
        let mut process = shell("echo last words");
        let error = process
            .pick(TIME, |line| (line == "never").then_some(()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("last words"), "{error}");
    }
}
