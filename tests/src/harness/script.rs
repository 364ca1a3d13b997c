//! A program that is talked with line by line: it says JSON, and hears lines of text.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// A running script; dropping it kills it.
#[derive(Debug)]
pub struct Script {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    errors: ChildStderr,
}

impl Script {
    /// Starts it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        let mut child = command.spawn().context("starting a script")?;
        let input = child.stdin.take().context("standard input")?;
        let output = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let errors = child.stderr.take().context("standard error")?;
        Ok(Self { child, input, output, errors })
    }

    /// What it says next.
    ///
    /// # Errors
    /// It ended, with what it wrote to standard error, or says nothing for a minute.
    pub async fn hear(&mut self) -> Result<Value> {
        match timeout(LIMIT, self.output.next_line()).await.context("the script says nothing")?? {
            Some(line) => serde_json::from_str(&line).with_context(|| format!("said {line:?}")),
            None => {
                let mut text = String::new();
                self.errors.read_to_string(&mut text).await?;
                let status = self.child.wait().await?;
                bail!("the script ended with {status}:\n{text}")
            }
        }
    }

    /// A member of what it says next, as text.
    ///
    /// # Errors
    /// As [`Self::hear`], or it says something else.
    pub async fn hear_text(&mut self, name: &str) -> Result<String> {
        let said = self.hear().await?;
        let text = said[name].as_str();
        Ok(text.with_context(|| format!("no {name} in {said}"))?.to_owned())
    }

    /// Tells it a line.
    ///
    /// # Errors
    /// It has ended.
    pub async fn say(&mut self, line: &str) -> Result<()> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(self.input.flush().await?)
    }
}
