//! `auth-core` without the daemon: the example chat server signs people in by itself.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::process::Process;
use auth_tests::harness::slapd::Slapd;
use auth_tests::harness::{program, workspace};

struct Chat {
    _process: Process,
    url: String,
    _folder: tempfile::TempDir,
}

async fn chat(slapd: &Slapd, options: &[&str]) -> Result<Chat> {
    let folder = tempfile::tempdir()?;
    let password = folder.path().join("reader.txt");
    std::fs::write(&password, slapd.bind_password())?;
    let mut command = Command::new(program("embed_in_axum")?);
    command
        .args(["--ldap", &slapd.ldaps_url(), "--base-dn", slapd.base_dn()])
        .args(["--bind-dn", slapd.bind_dn(), "--listen", "127.0.0.1:0"])
        .args(["--bind-password-file".as_ref(), password.as_os_str()])
        .args(["--ca".as_ref(), slapd.ca_file().as_os_str()])
        .args(["--folder".as_ref(), folder.path().as_os_str()])
        .args(options);
    let mut process = Process::start("embed_in_axum", command)?;
    let url = process
        .wait_for("its address", Duration::from_secs(30), |line| {
            line.strip_prefix("listening on ").map(str::to_owned)
        })
        .await?;
    Ok(Chat { _process: process, url, _folder: folder })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedding_chat_server_signs_people_in() -> Result<()> {
    let slapd = Slapd::start()?;
    let chat = chat(&slapd, &[]).await?;
    let browser = Browser::new()?;
    let room = format!("{}/", chat.url);
    ensure!(browser.get(&room).await?.status == 303);
    let page = browser.get(format!("{}/login", chat.url)).await?.expect(200)?;
    let form = page.form_to("/login")?;
    let wrong = [("username", "alice"), ("password", "wrong")];
    browser.submit(&page, &form, &wrong).await?.expect(401)?;
    let right = [("username", "alice"), ("password", "secret-alice")];
    browser.submit(&page, &form, &right).await?.expect(303)?;
    let room = browser.get(&room).await?.expect(200)?.json()?;
    ensure!(room["username"] == "alice" && room["email"] == "alice@example.org", "{room}");
    Ok(())
}

#[test]
fn signing_a_person_in_takes_fewer_than_sixty_lines() -> Result<()> {
    let source = std::fs::read_to_string(workspace().join("examples/embed_in_axum.rs"))?;
    let begin = source.find("// ---- signing a person in").unwrap_or_default();
    let end = source.find("// ---- the pages").unwrap_or_default();
    ensure!(begin > 0 && end > begin, "the rulers are gone");
    let lines = source[begin..end].lines().filter(|line| !line.trim().is_empty()).count();
    ensure!(lines < 60, "{lines} lines");
    Ok(())
}
