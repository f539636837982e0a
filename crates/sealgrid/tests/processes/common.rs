//! Runs the binary in a home of its own, and grids of it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A home, and a folder for files beside it.
pub struct Home {
    pub folder: tempfile::TempDir,
}

/// What a process left behind.
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgrid"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("SEALGRID_HOME", self.path("home"))
            .env_remove("SEALGRID_PASSPHRASE")
            .env_remove("SEALGRID_LOG")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(arguments))
    }

    /// Runs with `--json` and expects success.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(ended.status, 0, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        serde_json::from_str(&ended.stdout).expect("one JSON value on stdout")
    }

    /// Runs and expects this code and exit status, the same for people and machines, with a line to try.
    pub fn fails(&self, arguments: &[&str], code: &str, status: i32) -> String {
        let human = self.run(arguments);
        assert_eq!(human.status, status, "{arguments:?}: {}{}", human.stdout, human.stderr);
        assert!(human.stderr.contains(&format!("error {code}: ")), "{arguments:?}: {}", human.stderr);
        let machine = self.run(&[arguments, &["--json"]].concat());
        let json: Value = serde_json::from_str(&machine.stdout).expect("one JSON value on stdout");
        assert_eq!(
            (json["error"]["code"].as_str(), json["error"]["exit"].as_i64()),
            (Some(code), Some(status.into()))
        );
        human.stderr
    }

    /// Imports a shipped model into a file.
    pub fn import(&self, name: &str, data: &str) -> PathBuf {
        let models = models();
        let onnx = models.join(format!("{name}.onnx"));
        let calibration = models.join(format!("data/{data}-calibration.csv"));
        let out = self.path(&format!("{name}.sgm"));
        self.json(&["model", "import", text(&onnx), "--calibrate", text(&calibration), "-o", text(&out)]);
        out
    }

    /// Starts `sealgrid up` and waits until its nodes take jobs.
    pub fn up(&self, dir: &str, arguments: &[&str]) -> Up {
        let child = self
            .command(&[&["up", "--dir", dir], arguments].concat())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut up = Up { child };
        let lines = BufReader::new(up.child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        for line in lines.map_while(Result::ok) {
            said.push_str(&line);
            if line.starts_with("stop:") {
                return up;
            }
        }
        panic!("the grid did not start: {said}");
    }
}

/// A running `sealgrid up`; stopped when dropped, its nodes with it.
pub struct Up {
    child: Child,
}

impl Drop for Up {
    fn drop(&mut self) {
        // its nodes see their standard input close and drain
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("starts");
    Ended {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

pub fn test_data(name: &str) -> PathBuf {
    models().join(format!("data/{name}-test.csv"))
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}
