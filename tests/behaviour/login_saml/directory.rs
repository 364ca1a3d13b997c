//! People of a directory who come through SAML: one account, whoever made it first.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::simplesamlphp::SimpleSamlPhpOptions;
use auth_tests::harness::slapd::Slapd;
use serde_json::Value;

use super::given::{Site, answer_form, posted, site_with, through, whoami};
use crate::site as common;

const JOINED: &str = "attributes = { claims = { directory_id = \"directoryId\" } }\n\
                      [saml.accounts]\ndirectory = \"ldap\"\ndirectory_claim = \"directory_id\"";

async fn user(daemon: &Daemon, name: &str) -> Result<Value> {
    daemon.cli(&["user", "show", name, "--json"]).await?.success()?.json()
}

async fn synchronise(daemon: &Daemon) -> Result<Value> {
    let run = ["sync", "run", "--directory", "ldap", "--full", "--json"];
    let done = daemon.cli(&run).await?;
    ensure!([0, 2].contains(&done.code), "{}", done.stderr);
    done.json()
}

async fn site(slapd: &Slapd, more: &str, recheck: &str) -> Result<Site> {
    let ids = |user| -> Result<_> {
        let found = slapd.attribute(&format!("uid={user}"), "entryUUID")?;
        Ok((user, found.into_iter().next().context("entryUUID")?))
    };
    let options = SimpleSamlPhpOptions {
        directory_ids: vec![ids("alice")?, ids("bob")?],
        ..SimpleSamlPhpOptions::default()
    };
    let directory = format!(
        "[[directory]]\nid = \"ldap\"\npreset = \"openldap\"\nservers = [\"{}\"]\n\
         ca_file = \"{}\"\nbind_dn = \"{}\"\nbind_password = \"{}\"\nbase_dn = \"{}\"\n{recheck}\n",
        slapd.ldaps_url(),
        slapd.ca_file().display(),
        slapd.bind_dn(),
        slapd.bind_password(),
        slapd.base_dn(),
    );
    site_with(options, more, |daemon| daemon.toml(&directory)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn synchronisation_completes_and_deactivates_whoever_came_by_saml() -> Result<()> {
    let slapd = Slapd::start()?;
    let site = site(&slapd, JOINED, "").await?;
    let alice = Browser::new()?;
    through(&site, &alice, "alice").await?.expect(200)?;
    let first = user(&site.daemon, "alice").await?;
    ensure!(first["position"] == "Engineer", "not completed at the first sign-in: {first}");
    ensure!(first["identities"].as_array().is_some_and(|all| all.len() == 2), "{first}");

    let done = synchronise(&site.daemon).await?;
    let about = |name: &str| {
        let all = done["changes"].as_array().into_iter().flatten();
        all.filter(|change| change["account"] == name)
            .map(|it| it["op"].clone())
            .collect::<Vec<_>>()
    };
    ensure!(about("bob") == ["create"], "{done:#}");

    // What the directory says stays when she comes again with less, and follows it at once.
    let promoted = "dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: title\n\
                    title: Director\n";
    slapd.modify(promoted)?;
    through(&site, &Browser::new()?, "alice").await?.expect(200)?;
    let completed = user(&site.daemon, "alice").await?;
    ensure!(completed["id"] == first["id"] && completed["position"] == "Director", "{completed}");
    ensure!(completed["groups"] == first["groups"], "{completed}");

    // The other order: the synchronisation made bob, and SAML finds him.
    let made = user(&site.daemon, "bob").await?;
    let bob = Browser::new()?;
    through(&site, &bob, "bob").await?.expect(200)?;
    ensure!(whoami(&site.daemon, &bob).await?.as_deref() == Some("bob"));
    let found = user(&site.daemon, "bob").await?;
    ensure!(found["id"] == made["id"], "{found}");
    ensure!(found["identities"].as_array().is_some_and(|all| all.len() == 2), "{found}");
    let linked = common::events(&site.daemon, "identity.linked").await?;
    let by = |event: &Value| event["detail"]["by"] == "directory:ldap";
    ensure!(linked.len() == 2 && linked.iter().all(by), "{linked:?}");

    // Gone from the directory: out at once, and not back through SAML.
    slapd.modify("dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: delete\n")?;
    synchronise(&site.daemon).await?;
    ensure!(user(&site.daemon, "alice").await?["active"] == false);
    ensure!(whoami(&site.daemon, &alice).await?.is_none(), "the session goes on");
    let again = Browser::new()?;
    through(&site, &again, "alice").await?.expect(403)?;
    ensure!(whoami(&site.daemon, &again).await?.is_none());
    ensure!(whoami(&site.daemon, &bob).await?.as_deref() == Some("bob"));
    Ok(())
}

/// The directory's word is asked before a refresh, also of a session that came by SAML.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_asks_the_directory() -> Result<()> {
    let slapd = Slapd::start()?;
    let site = site(&slapd, JOINED, "recheck_after = \"0s\"").await?;
    let party = common::relying_party(&site.daemon).await?;
    let authorization = party.authorize(common::SCOPE);
    let browser = Browser::new()?;
    let page = browser.open(authorization.url.as_str()).await?.expect(200)?;
    let links = auth_tests::harness::html::links(&page.body)?;
    let link = links.iter().find(|href| href.starts_with("/login/corp")).context("button")?;
    let page = browser.open(site.daemon.url(link)).await?.expect(200)?;
    let form = posted(&answer_form(&browser, &page, "alice").await?)?;
    let fields = form.filled(&[])?;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let page = browser.post(&form.action, &fields).await?;
    let page = browser.follow(page, |url| url.as_str().starts_with(common::REDIRECT)).await?;
    let callback = page.location()?;
    let code = callback.query_pairs().find(|(name, _)| name == "code").context("code")?.1;
    let tokens = party.exchange(&authorization, &code).await?;
    // The directory's times count for the directory's people, however they come.
    let tokens = party.refresh(common::refresh_token(&tokens)?).await?;
    let claims = party.userinfo(&tokens.access_token).await?.json()?;
    ensure!(claims["preferred_username"] == "alice", "{claims}");
    slapd.modify("dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: delete\n")?;
    ensure!(party.refresh(common::refresh_token(&tokens)?).await.is_err(), "still refreshed");
    ensure!(whoami(&site.daemon, &browser).await?.is_none(), "the session goes on");
    Ok(())
}

/// Accounts of a directory can be left to its synchronisation.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_synchronised_can_be_kept_out() -> Result<()> {
    let slapd = Slapd::start()?;
    let rules = "domains = [\"example.org\"]\n[directory.accounts]\nprovisioning = \"sync\"";
    let invited =
        "[saml.accounts]\nprovisioning = \"invite\"\nallowed_email_domains = [\"example.org\"]";
    let site = site(&slapd, invited, rules).await?;
    let browser = Browser::new()?;
    let page = common::attempt(&site.daemon, &browser, "ldap", "carol", "secret-carol").await?;
    ensure!(page.status == 401 || page.status == 403, "{}", page.describe());
    let refused = common::events(&site.daemon, "login.refused").await?;
    ensure!(refused.last().is_some_and(|it| it["reason"] == "not_synchronised"), "{refused:?}");
    through(&site, &Browser::new()?, "alice").await?.expect(403)?;
    let refused = common::events(&site.daemon, "login.refused").await?;
    ensure!(refused.last().is_some_and(|it| it["reason"] == "invitation_required"), "{refused:?}");

    synchronise(&site.daemon).await?;
    let page = common::attempt(&site.daemon, &browser, "ldap", "carol", "secret-carol").await?;
    browser.follow(page, |_| false).await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("carol"));

    // A typed address leads to the directory's form.
    let stranger = Browser::new()?;
    let page = stranger.open(site.daemon.url("/login")).await?.expect(200)?;
    let form = page.forms()?.into_iter().find(|form| form.field("address").is_some());
    let form = form.context("no field for an address")?;
    let page = stranger.submit(&page, &form, &[("address", "dave@example.org")]).await?;
    let target = page.header("refresh").to_owned() + page.header("location");
    ensure!(target.contains("/login/ldap?"), "{}", page.describe());
    Ok(())
}
