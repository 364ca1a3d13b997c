//! No case takes more than 16 MiB: in a process of its own, by the kernel's count.

use std::process::Command;

use auth_tests::harness::program;

use super::assert_none;

const LIMIT: u64 = 16 * 1024 * 1024;

#[test]
fn no_case_takes_more_than_sixteen_mebibytes() {
    let mut command = Command::new(program("saml_corpus").unwrap());
    // The C library gives back at once what is freed: one case does not hide the next one's need.
    command.env("MALLOC_TRIM_THRESHOLD_", "0").env("MALLOC_MMAP_THRESHOLD_", "65536");
    let output = command.arg("judge").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut findings = Vec::new();
    let (mut cases, mut most, mut slowest) = (0, ("", 0), ("", 0));
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, _, micros, bytes] = fields[..] else { panic!("{line}") };
        let (micros, bytes): (u64, u64) = (micros.parse().unwrap(), bytes.parse().unwrap());
        cases += 1;
        most = if bytes > most.1 { (name, bytes) } else { most };
        slowest = if micros > slowest.1 { (name, micros) } else { slowest };
        if bytes > LIMIT {
            findings.push(format!("{name}: {bytes} bytes"));
        }
    }
    // Time is told, not asserted: it is another on a loaded machine.
    println!("{cases} cases; most memory {most:?} bytes, slowest {slowest:?} us");
    assert!(cases > 400, "{cases}");
    assert_none(&findings);
}
