//! `saml …` and what `serve` and `config check` say about `[[saml]]`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use auth_core::connector::saml::Preset;
use auth_tests::harness::daemon::Builder;
use auth_tests::harness::http::Browser;
use auth_tests::harness::workspace;
use serde_json::Value;

use crate::site;

fn fixture(name: &str) -> PathBuf {
    workspace().join("fixtures/saml").join(name)
}

fn path(name: &str) -> String {
    fixture(name).display().to_string()
}

/// A daemon with a connection `okta` and these further lines.
fn with_connection(lines: &str) -> Builder {
    site::daemon().toml(&format!("[[saml]]\nid = \"okta\"\npreset = \"okta\"\n{lines}"))
}

fn with_metadata(file: &str) -> Builder {
    with_connection(&format!("metadata_file = {:?}", path(file)))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_once_and_stand_in_our_metadata() -> Result<()> {
    let daemon = site::start(with_metadata("hostile/metadata/corp.xml")).await?;
    let ready = |event: &Value| event["event"] == "saml.connection_ready";
    ensure!(daemon.events().iter().any(ready), "{:?}", daemon.log());
    let created = site::events(&daemon, "saml.key_created").await?;
    ensure!(created.len() == 1 && created[0]["connector"] == "okta", "{created:?}");

    let metadata = ["saml", "metadata", "--connection", "okta"];
    let first = daemon.cli(&metadata).await?.success()?.stdout;
    ensure!(first == daemon.cli(&metadata).await?.success()?.stdout, "made anew");
    let issuer = daemon.issuer();
    for part in [
        format!("entityID=\"{issuer}/saml/okta/metadata\""),
        format!("Location=\"{issuer}/saml/okta/acs\""),
        format!("Location=\"{issuer}/saml/okta/slo\""),
        "use=\"encryption\"".to_owned(),
    ] {
        ensure!(first.contains(&part), "{part} is not in {first}");
    }

    let rotate = ["saml", "rotate-key", "--connection", "okta", "--json"];
    let keys = daemon.cli(&rotate).await?.success()?.json()?;
    let keys = keys["keys"].as_array().context("keys")?.clone();
    ensure!(keys.len() == 2, "{keys:?}");
    let second = daemon.cli(&metadata).await?.success()?.stdout;
    ensure!(second.matches("use=\"signing\"").count() == 2, "{second}");
    let old = keys[0]["id"].as_str().context("id")?;
    let retire = ["saml", "rotate-key", "--connection", "okta", "--retire", old];
    let refused = daemon.cli(&retire).await?.expect(1)?;
    ensure!(refused.stderr.contains("signs yet"), "{}", refused.stderr);
    let waiting = keys[1]["id"].as_str().context("id")?;
    let retire = ["saml", "rotate-key", "--connection", "okta", "--retire", waiting];
    daemon.cli(&retire).await?.success()?;
    ensure!(daemon.cli(&metadata).await?.success()?.stdout == first, "as before");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_complete_connection_is_offered() -> Result<()> {
    let daemon = site::start(with_connection("label = \"Okta of the tests\"")).await?;
    let browser = Browser::new()?;
    let page = browser.open(daemon.url("/login")).await?.expect(200)?;
    ensure!(!page.body.contains("Okta of the tests"), "without metadata: {}", page.body);
    browser.get(daemon.url("/login/okta")).await?.expect(404)?;
    browser
        .post(daemon.url("/saml/okta/acs"), &[("SAMLResponse", "PGEvPg==")])
        .await?
        .expect(404)?;
    browser.get(daemon.url("/saml/okta/slo?SAMLRequest=x")).await?.expect(404)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_prints_the_values_of_the_vendor() -> Result<()> {
    let keys = format!("sp_key_files = [{:?}]", path("keys/sp.pem"));
    let setup = ["saml", "setup", "--connection", "okta", "--json"];
    let values = with_connection(&keys).run(&setup).await?.success()?.json()?;
    let value = |field: &str| {
        let all = values["values"].as_array().into_iter().flatten();
        all.into_iter().find(|it| it["field"] == field).map(|it| it["value"].to_string())
    };
    let acs = value("Single sign-on URL").context("ACS")?;
    ensure!(acs.ends_with("/saml/okta/acs\""), "{acs}");
    ensure!(value("Attribute: user name").as_deref() == Some("\"Username\""), "{values}");
    ensure!(value("Name ID format").as_deref() == Some("\"Unspecified\""), "{values}");
    let certificate = value("Certificate (assertion encryption, request signature)");
    ensure!(certificate.is_some_and(|it| it.contains("BEGIN CERTIFICATE")), "{values}");
    Ok(())
}

/// Whoever follows a page pastes what the command would print.
#[tokio::test(flavor = "multi_thread")]
async fn every_vendor_has_a_page_with_the_values_that_setup_prints() -> Result<()> {
    let readme = std::fs::read_to_string(workspace().join("README.md"))?;
    let overview = std::fs::read_to_string(workspace().join("docs/saml.md"))?;
    let presets = Preset::ALL.map(Preset::as_str);
    for vendor in presets {
        let connection = format!(
            "[[saml]]\nid = \"{vendor}\"\npreset = \"{vendor}\"\nsp_key_files = [{:?}]",
            path("keys/sp.pem")
        );
        let builder = site::daemon().set("public_url", "https://sso.example.com");
        let setup = ["saml", "setup", "--connection", vendor, "--json"];
        let printed = builder.toml(&connection).run(&setup).await?.success()?.json()?;
        let printed: Vec<(&str, &str)> = printed["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| Some((it["field"].as_str()?, it["value"].as_str()?)))
            .collect();
        let page = std::fs::read_to_string(workspace().join(format!("docs/saml/{vendor}.md")))?;
        let (_, table) = page.split_once("| --- | --- |\n").context(vendor)?;
        let (table, _) = table.split_once("\n\n").context(vendor)?;
        let listed: Vec<(&str, &str)> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
            .collect();
        ensure!(listed.len() == table.lines().count(), "{vendor}: {table}");
        ensure!(listed.len() == printed.len(), "{vendor}: {listed:?}, printed are {printed:?}");
        for ((field, value), printed) in listed.into_iter().zip(printed) {
            // A certificate is everybody's own.
            let wanted = match printed.1.contains("BEGIN CERTIFICATE") {
                true => "as `saml setup` prints it".to_owned(),
                false => format!("`{}`", printed.1),
            };
            ensure!((field, value) == (printed.0, wanted.as_str()), "{vendor}: {field} | {value}");
        }
        ensure!(page.contains(&format!("preset = \"{vendor}\"")), "{vendor}: no configuration");
        ensure!(overview.contains(&format!("](saml/{vendor}.md)")), "{vendor}: not in saml.md");
        ensure!(readme.contains(&format!("](docs/saml/{vendor}.md)")), "{vendor}: not in README");
    }
    let pages = std::fs::read_dir(workspace().join("docs/saml"))?.count();
    ensure!(pages == presets.len(), "{pages} pages");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_metadata_lives_in_the_store_or_in_the_configuration_never_in_both() -> Result<()>
{
    let mut daemon = site::start(with_connection("")).await?;
    let waits = |event: &Value| event["event"] == "saml.connection_waits";
    ensure!(daemon.events().iter().any(waits), "{:?}", daemon.log());
    let corp = path("hostile/metadata/corp.xml");
    let import = ["saml", "import", "--connection", "okta", &corp, "--json"];
    let dry = [&import[..], &["--dry-run"]].concat();
    let would = daemon.cli(&dry).await?.success()?.json()?;
    ensure!(would["outcome"] == "would be taken over", "{would}");
    ensure!(site::events(&daemon, "saml.metadata_accepted").await?.is_empty(), "a dry run");
    let taken = daemon.cli(&import).await?.success()?.json()?;
    ensure!(taken["entity_id"] == "https://idp.example.org/metadata", "{taken}");
    ensure!(taken["keys"][0]["sha256"].as_str().is_some_and(|it| it.len() == 64), "{taken}");
    let again = daemon.cli(&import).await?.success()?.json()?;
    ensure!(again["outcome"] == "is the same as before", "{again}");
    ensure!(site::events(&daemon, "saml.metadata_accepted").await?.len() == 1);
    daemon.restart().await?;
    let ready = |event: &Value| event["event"] == "saml.connection_ready";
    ensure!(daemon.events().iter().any(ready), "{:?}", daemon.log());

    for (file, code) in [
        ("hostile/33-expired.xml", "metadata_expired"),
        ("hostile/33-doctype.xml", "doctype"),
        ("hostile/33-no-key.xml", "metadata_no_key"),
        ("hostile/33-sp-only.xml", "metadata_structure"),
    ] {
        let bad = path(file);
        let import = ["saml", "import", "--connection", "okta", &bad];
        let refused = daemon.cli(&import).await?.expect(1)?;
        ensure!(refused.stderr.contains(code), "{file}: {}", refused.stderr);
    }
    let approve = ["saml", "approve-keys", "--connection", "okta"];
    let nothing = daemon.cli(&approve).await?.expect(1)?;
    ensure!(nothing.stderr.contains("no changed metadata"), "{}", nothing.stderr);

    let both = with_metadata("hostile/metadata/corp.xml");
    let refused = both.run(&import).await?.expect(78)?;
    ensure!(refused.stderr.contains("metadata_file"), "{}", refused.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_work_stops_the_start_and_is_explained() -> Result<()> {
    let cases = [
        (format!("metadata_file = {:?}", path("hostile/33-no-key.xml")), "metadata_no_key"),
        (format!("metadata_file = {:?}", path("hostile/33-expired.xml")), "metadata_expired"),
        (format!("metadata_file = {:?}", path("hostile/33-weak-key.xml")), "metadata_weak_key"),
        (format!("metadata_file = {:?}", path("hostile/33-entities-none-named.xml")), "entity_id"),
        (format!("sp_key_files = [{:?}]", path("keys/idp.pem")), "private key"),
    ];
    for (lines, word) in cases {
        let refused = with_connection(&lines).run(&["serve"]).await?.expect(78)?;
        ensure!(refused.stderr.contains(word), "{word:?} is not in {}", refused.stderr);
        let check = ["config", "check", "--offline"];
        let found = with_connection(&lines).run(&check).await?.expect(78)?;
        ensure!(found.stdout.contains("saml[0]"), "{}", found.stdout);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_response_is_judged_without_a_store() -> Result<()> {
    let lines = format!(
        "metadata_file = {:?}\nsp_entity_id = \"https://sso.example.com/saml/corp/metadata\"\n\
         acs_url = \"https://sso.example.com/saml/corp/acs\"\n[saml.attributes]\n\
         username = \"username\"\nemail = \"email\"",
        path("hostile/metadata/corp.xml")
    );
    let response = path("hostile/00-control-assertion-signed.xml");
    let inspect = ["saml", "inspect", "--connection", "okta", "--json", &response];
    let at = |at: &'static str| [&inspect[..], &["--at", at]].concat();
    let good = at("2026-11-02T08:00:00Z");
    let output = with_connection(&lines).run(&good).await?.success()?.json()?;
    ensure!(output["accepted"] == true && output["code"] == "ok", "{output}");
    ensure!(output["subject"]["name_id"] == "alice@example.org", "{output}");
    ensure!(output["person"]["username"] == "alice", "{output}");
    let checks = output["checks"].as_array().context("checks")?;
    ensure!(checks.iter().all(|check| check["ok"] == true), "{output}");
    ensure!(checks.iter().any(|check| check["check"] == "pending_request"), "{output}");

    let late = at("2026-11-02T09:00:00Z");
    let output = with_connection(&lines).run(&late).await?.expect(2)?;
    ensure!(output.json()?["code"] == "expired", "{}", output.stdout);
    let wrong = [&good[..], &["--in-response-to", "_other"]].concat();
    let output = with_connection(&lines).run(&wrong).await?.expect(2)?;
    ensure!(output.json()?["code"] == "in_response_to", "{}", output.stdout);
    let none = [&good[..], &["--in-response-to", ""]].concat();
    let output = with_connection(&lines).run(&none).await?.expect(2)?;
    ensure!(output.json()?["code"] == "in_response_to", "{}", output.stdout);
    let text =
        ["saml", "inspect", "--connection", "okta", &response, "--at", "2020-01-01T00:00:00Z"];
    let output = with_connection(&lines).run(&text).await?.expect(2)?;
    ensure!(output.stdout.contains("FAIL  not_before"), "{}", output.stdout);
    let unknown = ["saml", "inspect", "--connection", "nobody", &response];
    with_connection(&lines).run(&unknown).await?.expect(78)?;
    let no_time = at("yesterday");
    with_connection(&lines).run(&no_time).await?.expect(64)?;
    Ok(())
}
