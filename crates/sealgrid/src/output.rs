//! Data to stdout, talk to stderr. Every command yields one [`Report`]; a person reads its text, a machine
//! its JSON.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::failure::Failure;

/// What a command has to say at its end.
pub struct Report {
    /// For people: tables and sentences.
    pub text: String,
    /// For machines: the documented schema of the command.
    pub json: serde_json::Value,
    /// Exit status: 0, or 4 where the command's answer is "does not hold".
    pub exit: u8,
}

impl Report {
    /// A report of success.
    pub fn new(text: impl Into<String>, json: serde_json::Value) -> Self {
        Self { text: text.into(), json, exit: 0 }
    }

    /// The same report with another exit status.
    #[must_use]
    pub const fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }
}

/// Where a command's output goes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Print JSON instead of text.
    pub json: bool,
    /// Say nothing on the way.
    pub quiet: bool,
}

impl Output {
    /// Prints the report to stdout. A closed pipe is not an error of ours, a full disk is one.
    pub fn report(self, report: &Report) -> std::io::Result<()> {
        let text = if self.json { format!("{:#}", report.json) } else { report.text.trim_end().to_owned() };
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    /// Prints a failure: for people on stderr, for machines as the `error` member on stdout.
    pub fn fail(self, failure: &Failure) {
        let _closed_pipe = if self.json {
            writeln!(std::io::stdout().lock(), "{:#}", failure.json())
        } else {
            writeln!(std::io::stderr().lock(), "{failure}")
        };
    }

    /// Says one line on stderr.
    pub fn say(self, line: impl AsRef<str>) {
        if !self.quiet && !self.json {
            let _closed_pipe = writeln!(std::io::stderr().lock(), "{}", line.as_ref());
        }
    }

    /// A progress display for `steps` of work. Nothing is drawn in the first quarter second, and nothing at all
    /// when stderr is not a terminal.
    pub fn progress(self, title: &str, steps: u64) -> Progress {
        let visible = !self.quiet && !self.json && std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden())
            .with_finish(ProgressFinish::AndClear);
        bar.set_style(
            ProgressStyle::with_template("{msg:<32} {bar:30} {pos}/{len} {elapsed}")
                .expect("the template is a constant"),
        );
        bar.set_message(title.to_owned());
        Progress { bar, visible, since: Instant::now() }
    }
}

/// A progress bar that stays away from short work.
pub struct Progress {
    bar: ProgressBar,
    visible: bool,
    since: Instant,
}

/// Work shorter than this shows no progress.
const SILENCE: Duration = Duration::from_millis(250);

impl Progress {
    /// Sets how many steps are done.
    pub fn at(&mut self, done: u64, message: impl Into<String>) {
        self.bar.set_position(done);
        self.bar.set_message(message.into());
        if self.visible && self.since.elapsed() >= SILENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.visible = false;
        }
    }
}

/// A table of facts about one thing: names and values, without a header.
pub fn facts() -> Table {
    let mut facts = Table::new();
    styled(&mut facts);
    facts
}

/// A table in the one style of all commands.
pub fn table<H: Into<comfy_table::Cell>>(header: impl IntoIterator<Item = H>) -> Table {
    let mut table = Table::new();
    styled(&mut table);
    table.set_header(header.into_iter().map(Into::into).collect::<Vec<comfy_table::Cell>>());
    table
}

fn styled(table: &mut Table) {
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_width(110);
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration with three digits and a unit that fits.
pub fn duration(time: Duration) -> String {
    let ns = time.as_secs_f64() * 1e9;
    match ns {
        _ if ns < 1e3 => format!("{ns:.0} ns"),
        _ if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        _ if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(duration(Duration::from_micros(1500)), "1.5 ms");
        assert_eq!(duration(Duration::from_nanos(20)), "20 ns");
    }
}
