//! Sign-in against a real OpenLDAP server.

use auth_tests::harness::slapd::Slapd;

#[test]
fn server_starts() {
    let t = std::time::Instant::now();
    let mut s = Slapd::start().unwrap();
    eprintln!("{:?} {}", t.elapsed(), s.url());
    s.add_people("load", 10).unwrap();
    s.kill().unwrap();
    s.start_again().unwrap();
    s.pause().unwrap();
    s.resume().unwrap();
    let out = std::process::Command::new("ldapsearch")
        .args([
            "-x",
            "-LLL",
            "-H",
            &s.url(),
            "-D",
            s.bind_dn(),
            "-w",
            s.bind_password(),
            "-b",
            s.base_dn(),
            "(uid=*)",
            "memberOf",
            "entryUUID",
            "pwdAccountLockedTime",
            "pwdReset",
            "objectClass",
        ])
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&out.stdout));
    println!("{}", s.certificate_sha256().unwrap());
    s.stop().unwrap();
}
