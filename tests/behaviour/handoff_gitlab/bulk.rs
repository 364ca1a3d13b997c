//! `user export --format mattermost` and `user import`.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::site::{self, MM, number, push};
use crate::site::{JANE, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn accounts_go_out_as_lines_and_come_in_again_once() -> Result<()> {
    let (daemon, _mattermost) = site::start(push).await?;
    let arguments = [
        "user",
        "create",
        "Bob Ü",
        "--email",
        "Bob@example.org",
        "--first-name",
        "Bob",
        "--role",
        "administrator",
        "--locale",
        "de-AT",
        "--password-stdin",
    ];
    daemon.cli_with_input(&arguments, PASSWORD).await?.success()?;
    daemon.create_user("gone", "gone@example.org", PASSWORD).await?;
    daemon.cli(&["user", "disable", "gone"]).await?.success()?;
    daemon
        .cli_with_input(&["user", "create", "nomail", "--password-stdin"], PASSWORD)
        .await?
        .success()?;
    let out = daemon
        .cli(&["user", "export", "--format", "mattermost", "--client", MM])
        .await?
        .expect(2)?;
    ensure!(out.stderr.contains("nomail: left out: email_missing"), "{}", out.stderr);
    let lines = out.json_lines()?;
    ensure!(lines[0] == json!({ "type": "version", "version": 1 }), "{}", lines[0]);
    ensure!(lines.len() == 4 && lines[1..].iter().all(|line| line["type"] == "user"), "{lines:?}");
    let of = |email: &str| {
        lines.iter().find(|line| line["user"]["email"] == email).map(|line| &line["user"])
    };
    let bob = of("bob@example.org").context("bob")?;
    ensure!(bob["username"] == "bob-u" && bob["auth_service"] == "gitlab", "{bob}");
    ensure!(bob["auth_data"] == number(&daemon, "Bob Ü").await?.to_string(), "{bob}");
    ensure!(bob["roles"] == "system_user system_admin" && bob["locale"] == "de", "{bob}");
    ensure!(of("gone@example.org").is_some_and(|user| user["delete_at"].as_i64() > Some(0)));

    // Into an empty site: all with their numbers, twice without harm.
    let (other, _there) = site::start(|_| String::new()).await?;
    std::fs::write(other.folder().join("users.jsonl"), &out.stdout)?;
    let import = ["user", "import", "users.jsonl", "--json"];
    let conflict = other.cli(&import).await?.success()?.json()?;
    ensure!(conflict["unchanged"] == 1, "jane is there with the same number: {conflict}");
    ensure!(conflict["created"] == 2, "{conflict}");
    let again = other.cli(&import).await?.success()?.json()?;
    ensure!(
        again["created"] == 0 && again["unchanged"] == 3 && again["errors"] == json!([]),
        "{again}"
    );
    let shown = other.cli(&["user", "show", "bob-u", "--json"]).await?.success()?.json()?;
    ensure!(
        shown["numeric_id"] == number(&daemon, "Bob Ü").await?
            && shown["roles"] == json!(["administrator"]),
        "{shown}"
    );
    let gone = other.cli(&["user", "show", "gone", "--json"]).await?.success()?.json()?;
    ensure!(gone["active"] == false, "{gone}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_line_is_named_and_nothing_is_made() -> Result<()> {
    let (daemon, _mattermost) = site::start(|_| String::new()).await?;
    let user = |name: &str, email: &str, data: Value| {
        let mut user = json!({ "username": name, "email": email });
        if !data.is_null() {
            user["auth_service"] = "gitlab".into();
            user["auth_data"] = data;
        }
        json!({ "type": "user", "user": user }).to_string()
    };
    let lines = [
        r#"{"type":"version","version":1}"#.to_owned(),
        r#"{"type":"team","team":{"name":"t"}}"#.to_owned(),
        user("good", "good@example.org", "700".into()),
        "{broken".to_owned(),
        user("x", "not an address", Value::Null),
        user("y", "y@example.org", "0".into()),
        user("z", "z@example.org", "abc".into()),
        user("GOOD", "other@example.org", Value::Null),
        user("w", "good@example.org", Value::Null),
        user("v", "v@example.org", "700".into()),
        user(JANE, "elsewhere@example.org", Value::Null),
        user("someone", "jane@example.org", Value::Null),
        user(JANE, "jane@example.org", "4711".into()),
        r#"{"type":"user","user":{"username":"q","email":"q@example.org","connector":"corp","subject":"1"}}"#.to_owned(),
    ];
    std::fs::write(daemon.folder().join("in.jsonl"), lines.join("\n"))?;
    let out = daemon.cli(&["user", "import", "in.jsonl", "--json"]).await?.expect(2)?;
    let answer = out.json()?;
    let wrong: Vec<i64> = answer["errors"]
        .as_array()
        .context("errors")?
        .iter()
        .filter_map(|one| one["line"].as_i64())
        .collect();
    ensure!(wrong == [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], "{answer}");
    ensure!(answer["created"] == 0 && out.stderr.contains("in.jsonl:4: "), "{}", out.stderr);
    daemon.cli(&["user", "show", "good"]).await?.expect(1).context("nothing is half done")?;

    std::fs::write(daemon.folder().join("in.jsonl"), lines[..3].join("\n"))?;
    let dry = daemon
        .cli(&["user", "import", "in.jsonl", "--dry-run", "--json"])
        .await?
        .success()?
        .json()?;
    ensure!(dry["would_create"] == 1 && dry["created"] == 0, "{dry}");
    daemon.cli(&["user", "show", "good"]).await?.expect(1)?;
    daemon.cli(&["user", "import", "in.jsonl"]).await?.success()?;
    ensure!(number(&daemon, "good").await? == 700);
    std::fs::write(daemon.folder().join("in.jsonl"), &lines[2])?;
    let unversioned = daemon.cli(&["user", "import", "in.jsonl"]).await?.expect(2)?;
    ensure!(unversioned.stderr.contains("in.jsonl:1: the first line"), "{}", unversioned.stderr);
    Ok(())
}
