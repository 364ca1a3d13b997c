//! References to files and addresses inside hostile documents are never followed.
//!
//! `saml inspect` runs under `strace`. What it opens and connects to for a harmless document is
//! the measure: a hostile one may not lead to anything else. A listener and a file are really there
//! at the places that the documents name.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use auth_tests::harness::program;
use auth_tests::saml_corpus::{Kind, folder};

use super::{assert_none, hostile};

#[test]
fn no_file_is_opened_and_nothing_is_connected_to() {
    let site = Site::new();
    let (cases, _) = hostile();
    let control = cases.iter().find(|case| case.name == "00-control-assertion-signed").unwrap();
    let content = control.content(&folder("hostile")).unwrap();
    let (usual, judged) = site.inspect(&control.connection, &control.at, &content);
    assert_eq!(judged, "ok");
    assert!(
        usual.iter().any(|it| it.contains("auth-daemon.toml")),
        "strace saw nothing: {usual:?}"
    );

    // The measure measures: a program that opens the file and connects is seen.
    let script =
        format!("cat {}; exec 3<>/dev/tcp/127.0.0.1/{}", site.canary().display(), site.port());
    let seen = site.traced(Command::new("bash").args(["-c", &script])).0;
    assert!(seen.iter().any(|it| it.contains("saml-canary")), "{seen:?}");
    assert!(seen.iter().any(|it| it.contains(&site.port().to_string())), "{seen:?}");
    site.listener.accept().expect("the connection of the script");

    let mut findings = Vec::new();
    let mut looked_at = 0;
    for case in &cases {
        let content = match case.kind {
            Kind::Response => case.content(&folder("hostile")).unwrap(),
            _ => continue,
        };
        let Ok(text) = String::from_utf8(content) else { continue };
        if !["127.0.0.1:1/", "file://", "x.xml", "XInclude"].iter().any(|it| text.contains(it)) {
            continue;
        }
        looked_at += 1;
        let (seen, code) = site.inspect(&case.connection, &case.at, site.aimed(&text).as_bytes());
        let more: Vec<&String> = seen.difference(&usual).collect();
        if !more.is_empty() {
            findings.push(format!("{}: {more:?}", case.name));
        }
        if code == "ok" && case.row != 15 {
            findings.push(format!("{}: accepted", case.name));
        }
    }
    site.listener.set_nonblocking(true).unwrap();
    assert!(site.listener.accept().is_err(), "somebody connected");
    assert!(looked_at > 20, "{looked_at} cases");
    assert_none(&findings);
}

/// A folder with the corpus's configuration, a file and a listener to be lured to.
struct Site {
    folder: tempfile::TempDir,
    listener: TcpListener,
}

impl Site {
    fn new() -> Self {
        let temporary = tempfile::Builder::new().prefix("saml-canary-").tempdir().unwrap();
        for name in ["hostile", "keys", "hostile/metadata"] {
            fs::create_dir(temporary.path().join(name)).unwrap();
        }
        for (part, end) in [("hostile", "toml"), ("hostile/metadata", "xml"), ("keys", "pem")] {
            for entry in fs::read_dir(folder(part)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|it| it == end) {
                    let copy = temporary.path().join(part).join(path.file_name().unwrap());
                    fs::copy(&path, copy).unwrap();
                }
            }
        }
        fs::write(temporary.path().join("saml-canary"), "admin@example.org").unwrap();
        Self { folder: temporary, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn canary(&self) -> PathBuf {
        self.folder.path().join("saml-canary")
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The document with its lures at places that are really there.
    fn aimed(&self, text: &str) -> String {
        text.replace("127.0.0.1:1/", &format!("127.0.0.1:{}/", self.port()))
            .replace("file:///saml-canary", &format!("file://{}", self.canary().display()))
    }

    /// What is opened and connected to while a document is judged, and the code.
    fn inspect(&self, connection: &str, at: &str, content: &[u8]) -> (BTreeSet<String>, String) {
        let document = self.folder.path().join("document");
        fs::write(&document, content).unwrap();
        let mut command = Command::new(program("auth-daemon").unwrap());
        command.current_dir(self.folder.path().join("hostile"));
        command.args(["--config", "auth-daemon.toml", "saml", "inspect", "--json"]);
        command.args(["--connection", connection, "--at", at, "--in-response-to"]);
        command.arg("_request-4f2a").arg(&document);
        let (seen, output) = self.traced(&mut command);
        let object: serde_json::Value =
            serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        (seen, object["code"].as_str().unwrap().to_owned())
    }

    /// Runs a command; gives the arguments of its calls that open or connect, and its output.
    fn traced(&self, command: &mut Command) -> (BTreeSet<String>, String) {
        let trace = self.folder.path().join("trace");
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-e", "trace=open,openat,openat2,creat,connect,sendto,execve"]);
        traced.arg("-o").arg(&trace).arg(command.get_program()).args(command.get_args());
        traced.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
        let output = traced.output().expect("strace; install the package strace");
        let trace = fs::read_to_string(&trace)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let seen = trace.lines().filter_map(opened).collect();
        (seen, String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// What a line of a trace opens: the part in quotes, or the whole address.
fn opened(line: &str) -> Option<String> {
    let (call, rest) = line.split_once('(')?;
    let call = call.rsplit(' ').next()?;
    if call == "connect" || call == "sendto" {
        // A thread waking another writes into a socket pair, which has no address.
        return rest.contains("sa_family").then(|| format!("{call} {rest}"));
    }
    let (_, rest) = rest.split_once('"')?;
    let (path, _) = rest.split_once('"')?;
    // Numbers of threads and processes differ from run to run.
    let path: String = path.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    (!path.starts_with("/proc/")).then_some(path)
}
