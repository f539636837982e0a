//! A job outlives the process that asked for it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::common::*;

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_client_killed_in_the_middle_of_its_job_finishes_the_same_job_when_it_is_started_again() {
    let home = Home::new();
    let model = home.import("breast-cancer-mlp", "breast-cancer");
    // All three sit in the committee and one never answers: the job lasts until that one is given up.
    let _up = home.up("grid", &["--nodes", "3", "--model", text(&model), "--fault", "3=slow"]);
    let secret = home.path("secret");
    std::fs::write(&secret, "of a test\n").expect("written");
    let with_key = ["--passphrase-file", text(&secret)];
    let data = test_data("breast-cancer");
    let out = home.path("out.csv");
    let run = [
        "run",
        text(&model),
        "--input",
        text(&data),
        "--grid",
        "grid",
        "--out",
        text(&out),
        "--keep",
        "shelf",
    ];
    home.fails(&[&run[..], &with_key].concat(), "E-KEY-90", 7);
    home.json(&[&["key", "new", "owner"][..], &with_key].concat());
    home.fails(
        &[&run[..], &["--receipt", "r.receipt"], &with_key]
            .concat()
            .iter()
            .map(|word| if *word == "shelf" { "owner" } else { *word })
            .collect::<Vec<_>>(),
        "E-KEY-98",
        7,
    );
    home.json(&[&["key", "new", "shelf", "--for", "storage"][..], &with_key].concat());
    assert_eq!(
        home.run(&[&["run", "--resume"][..], &with_key].concat()).stdout,
        "no job is kept in this home\n"
    );

    let mut client = home
        .command(&[&run[..], &["--receipt", "r.receipt"], &with_key].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    // Command, context, plan, three assignments: then the job is on its way.
    let jobs = home.path("home/jobs");
    while files(&jobs).iter().filter(|path| path.extension().is_none()).count() < 6 {
        assert!(client.try_wait().expect("a child").is_none(), "the job lasts longer than that");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
    client.kill().expect("kill -9");
    client.wait().expect("reaped");
    let kept = files(&jobs);
    let job: String = kept
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .find(|name| name.len() > 64)
        .expect("a record of the job's machine")
        .chars()
        .take(64)
        .collect();
    assert!(!home.path("r.receipt").exists() && !out.exists());
    // Nothing of it can be read without the key: not a value, not the file's name.
    for path in &kept {
        let bytes = std::fs::read(path).expect("readable");
        assert!(bytes.starts_with(b"SGR1") || path.extension().is_some(), "{}", path.display());
        assert!(!bytes.windows(8).any(|part| part == b"out.csv\"" || part == b"breast-c"));
    }

    // A job that cannot be read fails by itself.
    let broken = jobs.join("broken");
    std::fs::create_dir(&broken).expect("made");
    std::fs::write(broken.join("command"), b"no object at rest").expect("written");
    home.fails(&[&["run", "--resume"][..], &with_key].concat(), "E-KEY-13", 7);
    assert_eq!(std::fs::read_to_string(&out).expect("results").lines().count(), 229);
    assert!(broken.exists() && files(&jobs).len() == 1, "the other one is over");
    std::fs::remove_dir_all(broken).expect("removed");
    let verdict = home.json(&["verify", "r.receipt", "--roots", "grid/roots"]);
    assert!(verdict.to_string().contains(&job), "{verdict} is {job}");
    assert!(files(&jobs).is_empty(), "nothing of the job stays");
    assert_eq!(home.run(&[&["run", "--resume"][..], &with_key].concat()).status, 0);
}
