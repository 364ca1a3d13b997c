//! Servers and runs that die in the middle: nobody is shut out for it, and the next run goes on.

use super::*;

const MANY: usize = 2000;
/// So many that a run is caught in the middle.
const CROWD: usize = 8000;

/// A directory of many people with small pages, and everybody already made.
async fn made() -> Result<(Slapd, Daemon)> {
    let server = slapd()?;
    server.add_people("many", MANY)?;
    let keys = "page_size = 20\noperation_timeout = \"2s\"\n";
    let daemon = site::start(with_directory(&server, keys)).await?;
    run(&daemon, 0).await?;
    ensure!(active(&daemon).await? == MANY + MADE as usize);
    Ok((server, daemon))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_or_stands_still_in_mid_page_shuts_nobody_out() -> Result<()> {
    let (mut server, daemon) = made().await?;
    for hang in [false, true] {
        let mut run = start_run(&daemon, &[])?;
        run.wait_for("the first page", LIMIT, |line| line.starts_with("reading: ").then_some(()))
            .await?;
        server.pause()?;
        if !hang {
            server.kill()?;
        }
        let status = run.wait_exit(LIMIT).await?;
        ensure!(status.code() == Some(1), "{status}: {}", run.tail());
        ensure!(run.tail().contains("nothing was changed"), "{}", run.tail());
        if hang {
            server.resume()?;
        } else {
            server.start_again()?;
        }
        ensure!(active(&daemon).await? == MANY + MADE as usize, "somebody was shut out");
    }
    let history = sync(&daemon, &["history"], 0).await?;
    ensure!(history[0]["state"] == "failed" && history[0]["applied"] == 0, "{history:#}");
    ensure!(history[0]["message"].is_string(), "{history:#}");
    let status = sync(&daemon, &["status"], 0).await?;
    ensure!(status["running"] == false, "the lease was given back: {status:#}");
    ensure_counts(&super::run(&daemon, 0).await?, &[("unchanged", MANY as u64 + 14)])
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_that_end_with_an_error_shut_nobody_out() -> Result<()> {
    let server = slapd()?;
    server.add_people("many", 600)?;
    let daemon = site::start(with_directory(&server, "page_size = 100\n")).await?;
    run(&daemon, 0).await?;
    let count = active(&daemon).await?;
    let text = std::fs::read_to_string(daemon.config())?;
    let right = "bind_password = \"reader-secret\"";
    ensure!(text.contains(right), "{text}");
    // A page that the server does not allow, a password that is wrong, a port that nobody listens on.
    for (from, to, code) in [
        ("page_size = 100", "page_size = 5000", 3),
        (right, "bind_password = \"wrong\"", 1),
        (&server.url(), "ldap://127.0.0.1:1", 1),
    ] {
        std::fs::write(daemon.config(), text.replace(from, to))?;
        let output = output(&daemon, &["run"]).await?;
        ensure!(output.code == code, "{to}: {} {} {}", output.code, output.stdout, output.stderr);
        std::fs::write(daemon.config(), &text)?;
        ensure!(active(&daemon).await? == count, "{to}: somebody was shut out");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_whole_batches_and_the_next_one_goes_on() -> Result<()> {
    let server = slapd()?;
    server.add_people("many", CROWD)?;
    let daemon = site::start(with_directory(&server, "")).await?;
    let mut killed = start_run(&daemon, &[])?;
    first_batch(&mut killed).await?;
    killed.kill()?;
    let written = accounts(&daemon).await?.len();
    ensure!(written > 0 && written % 1000 == 0 && written < CROWD, "{written}");
    let created = site::events(&daemon, "account.created").await?.len() - 1;
    ensure!(created == written, "an event for each account that is there: {created}");

    let output = output(&daemon, &["run"]).await?.expect(0)?;
    ensure!(output.stderr.contains("waiting for its lease"), "{}", output.stderr);
    let rest = (CROWD + MADE as usize - written) as u64;
    let done = output.json()?;
    ensure_counts(&done, &[("create", rest), ("conflict", 0)])?;
    ensure!(done["applied"] == rest, "{done:#}");
    let created = site::events(&daemon, "account.created").await?.len() - 1;
    ensure!(created == CROWD + MADE as usize, "everybody once: {created}");
    let history = sync(&daemon, &["history"], 0).await?;
    let states: Vec<&str> =
        history.as_array().into_iter().flatten().filter_map(|job| job["state"].as_str()).collect();
    ensure!(states == ["succeeded", "abandoned"], "{history:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_ends_after_its_batch_and_says_how_to_go_on() -> Result<()> {
    let server = slapd()?;
    server.add_people("many", CROWD)?;
    let daemon = site::start(with_directory(&server, "")).await?;
    let mut stopped = start_run(&daemon, &[])?;
    first_batch(&mut stopped).await?;
    stopped.signal("INT")?;
    let status = stopped.wait_exit(LIMIT).await?;
    ensure!(status.code() == Some(1), "{status}: {}", stopped.tail());
    // Anywhere: the table on the other stream may be read after it.
    let said =
        stopped.lines().iter().any(|line| line.contains("sync run --directory corp` goes on"));
    ensure!(said, "{}", stopped.tail());
    let written = accounts(&daemon).await?.len();
    ensure!(written % 1000 == 0 && written < CROWD, "{written}");
    let status = sync(&daemon, &["status"], 0).await?;
    ensure!(status["running"] == false && status["last"]["state"] == "stopped", "{status:#}");
    let done = run(&daemon, 0).await?;
    ensure!(done["applied"] == (CROWD + MADE as usize - written) as u64, "{done:#}");
    Ok(())
}
