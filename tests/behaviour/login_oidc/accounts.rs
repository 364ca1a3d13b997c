//! Who gets an account, and whose: provisioning and linking, by every path.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::upstream_oidc::ScriptedProvider;
use serde_json::{Value, json};

use super::given::{self, UP, refused, scripted, through, whoami};
use crate::site::{self, JANE, PASSWORD};

const AUTHORITATIVE: &str = "[oidc.accounts]\nauthoritative_domains = [\"example.org\"]";

async fn identities(daemon: &Daemon, name: &str) -> Result<Vec<(String, String)>> {
    let shown = daemon.cli(&["user", "show", name, "--json"]).await?.success()?.json()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed = shown["identities"].as_array().context("a list")?;
    Ok(listed.iter().map(|one| (text(&one["connector"]), text(&one["subject"]))).collect())
}

fn is_linked(identities: &[(String, String)]) -> bool {
    identities.iter().any(|(connector, _)| connector == UP)
}

/// What the provider says of Jane's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Verified,
    NotVerified,
    Nothing,
}

/// How the identity comes to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A plain sign-in, the connector hands out no domain.
    PlainSignIn,
    /// A sign-in, the connector hands out the address's domain.
    AuthoritativeSignIn,
    /// The signed-in person links it.
    Person,
    /// The signed-in person links it with another browser's answer.
    OtherBrowser,
    /// An administrator links it.
    Administrator,
}

/// The linking rows: an identity with Jane's address, in every combination of what both sides say
/// of it, with and without a second factor, by every path. It is linked only where both sides
/// gave a proof; an address alone is none.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_linked_without_proof_from_both_sides() -> Result<()> {
    use Says::{NotVerified, Nothing, Verified};
    use Way::{Administrator, AuthoritativeSignIn, OtherBrowser, Person, PlainSignIn};
    for way in [PlainSignIn, AuthoritativeSignIn, Person, OtherBrowser, Administrator] {
        let more = if way == AuthoritativeSignIn { AUTHORITATIVE } else { "" };
        let (provider, daemon) = scripted(more).await?;
        for says in [Verified, NotVerified, Nothing] {
            for local_verified in [true, false] {
                for has_factor in [false, true] {
                    let case = format!("{way:?}, {says:?}, local {local_verified}, {has_factor}");
                    let name = format!("p{}", uuid::Uuid::new_v4().simple());
                    let person = Case { name: &name, says, local_verified, has_factor };
                    let linked = person.run(&provider, &daemon, way).await.context(case.clone())?;
                    let proved = match way {
                        Person | Administrator => true,
                        AuthoritativeSignIn => says == Verified && local_verified && !has_factor,
                        PlainSignIn | OtherBrowser => false,
                    };
                    ensure!(linked == proved, "{case}: linked {linked}");
                }
            }
        }
        let refusals = site::events(&daemon, "login.refused").await?;
        if way == PlainSignIn {
            ensure!(refusals.len() == 12, "every takeover is audited: {}", refusals.len());
            ensure!(refusals.iter().all(|event| event["reason"] == "email_taken"));
        }
    }
    Ok(())
}

struct Case<'a> {
    name: &'a str,
    says: Says,
    local_verified: bool,
    has_factor: bool,
}

impl Case<'_> {
    /// Makes the account, takes the way, and says whether the identity is linked to it.
    async fn run(&self, provider: &ScriptedProvider, daemon: &Daemon, way: Way) -> Result<bool> {
        let address = format!("{}@example.org", self.name);
        daemon.create_user(self.name, &address, PASSWORD).await?;
        if !self.local_verified {
            self.sql(daemon, "UPDATE account SET email_verified = 0 WHERE username = ?1")?;
        }
        let mut claims =
            json!({ "preferred_username": format!("up-{}", self.name), "email": address });
        match self.says {
            Says::Verified => claims["email_verified"] = json!(true),
            Says::NotVerified => claims["email_verified"] = json!(false),
            Says::Nothing => {}
        }
        let subject = format!("sub-{}", self.name);
        provider.person(&subject, &claims);
        match way {
            Way::PlainSignIn | Way::AuthoritativeSignIn => {
                self.add_factor(daemon).await?;
                through(daemon, &Browser::new()?, UP).await?;
            }
            Way::Administrator => {
                self.add_factor(daemon).await?;
                daemon
                    .cli(&["user", "link", self.name, "--connector", UP, "--subject", &subject])
                    .await?
                    .success()?;
            }
            Way::Person | Way::OtherBrowser => {
                let browser = self.signed_in(daemon).await?;
                let form_page =
                    browser.get(daemon.url("/account/identities")).await?.expect(200)?;
                let target = begin_link(&browser, &form_page).await?;
                if way == Way::Person {
                    browser.open(target).await?;
                } else {
                    // The answer arrives in the browser of somebody else who is signed in too.
                    let answer = browser.get(target).await?.location()?;
                    let other = Browser::new()?;
                    site::attempt(daemon, &other, "local", JANE, PASSWORD).await?;
                    other.get(answer).await?.expect(400)?;
                    ensure!(!is_linked(&identities(daemon, JANE).await?), "linked to the other");
                }
            }
        }
        Ok(is_linked(&identities(daemon, self.name).await?))
    }

    /// A browser in which the person is signed in a moment ago, with both factors if they have two.
    async fn signed_in(&self, daemon: &Daemon) -> Result<Browser> {
        let browser = Browser::new()?;
        site::attempt(daemon, &browser, "local", self.name, PASSWORD).await?.expect(303)?;
        if self.has_factor {
            // As after a sign-in with both factors.
            self.add_factor(daemon).await?;
            self.sql(
                daemon,
                "UPDATE session SET acr = 'urn:auth:aal2' WHERE account = \
                 (SELECT id FROM account WHERE username = ?1)",
            )?;
        }
        Ok(browser)
    }

    /// A second factor, as enrolment would write it; its seed is never asked for here.
    async fn add_factor(&self, daemon: &Daemon) -> Result<()> {
        if !self.has_factor {
            return Ok(());
        }
        self.sql(
            daemon,
            "INSERT INTO factor (id, account, kind, sealed, created_at) \
             SELECT randomblob(16), id, 'totp', x'00', 1 FROM account WHERE username = ?1",
        )
    }

    fn sql(&self, daemon: &Daemon, sql: &str) -> Result<()> {
        let store = rusqlite::Connection::open(daemon.folder().join("auth.db"))?;
        store.busy_timeout(std::time::Duration::from_secs(10))?;
        ensure!(store.execute(sql, [self.name])? >= 1, "{sql} changed nothing");
        Ok(())
    }
}

/// Sends the form that begins a link; gives the address at the provider.
async fn begin_link(browser: &Browser, page: &Page) -> Result<String> {
    let form = page
        .forms()?
        .into_iter()
        .find(|form| form.field("action").is_some_and(|field| field.value == "link"))
        .context("no form to link")?;
    let answer = browser.submit(page, &form, &[]).await?.expect(200)?;
    let refresh = answer.header("refresh").to_owned();
    Ok(refresh.split_once("url=").with_context(|| answer.describe())?.1.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn linking_asks_for_a_fresh_proof_and_unlinking_leaves_a_way_in() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    let browser = Browser::new()?;
    site::attempt(&daemon, &browser, "local", JANE, PASSWORD).await?.expect(303)?;
    let page = browser.get(daemon.url("/account/identities")).await?.expect(200)?;
    ensure!(!page.body.contains("value=\"unlink\""), "the last way in can be taken away");
    let link = page.form_to("/account/identities")?;

    // An old session: the person is asked to sign in again, and nothing is linked.
    let store = rusqlite::Connection::open(daemon.folder().join("auth.db"))?;
    store.busy_timeout(std::time::Duration::from_secs(10))?;
    store.execute("UPDATE session SET authenticated_at = authenticated_at - 660000", [])?;
    let asked = browser.submit(&page, &link, &[]).await?.expect(200)?;
    asked.form_to("/login/local").context("not asked to sign in again")?;
    ensure!(!is_linked(&identities(&daemon, JANE).await?));
    // Another person's proof is none.
    daemon.create_user("mallory", "mallory@example.org", PASSWORD).await?;
    let wrong = browser.sign_in(&asked, "local", "mallory", PASSWORD).await?;
    ensure!(wrong.status == 401, "{}", wrong.describe());
    let answer = browser.sign_in(&asked, "local", JANE, PASSWORD).await?.expect(303)?;
    let page = browser.follow(answer, |_| false).await?.expect(200)?;
    ensure!(page.url.path() == "/account/identities", "{}", page.describe());
    let target = begin_link(&browser, &page).await?;
    let page = browser.open(target).await?.expect(200)?;
    ensure!(page.url.path() == "/account/identities", "{}", page.describe());
    ensure!(is_linked(&identities(&daemon, JANE).await?));
    let linked = site::events(&daemon, "identity.linked").await?;
    ensure!(linked[0]["detail"]["by"] == "person" && linked[0]["account"] == JANE, "{linked:?}");

    // It signs in to the account that it is linked to, and does not rename it: the profile comes
    // from the account's first identity.
    let other = Browser::new()?;
    through(&daemon, &other, UP).await?.expect(200)?;
    ensure!(whoami(&daemon, &other).await?.as_deref() == Some(JANE));
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(shown["email"] == "jane@example.org" && shown["groups"] == json!([]), "{shown}");

    // An identity of somebody else is not linked to a second account.
    let second = Browser::new()?;
    site::attempt(&daemon, &second, "local", "mallory", PASSWORD).await?.expect(303)?;
    let page = second.get(daemon.url("/account/identities")).await?.expect(200)?;
    let target = begin_link(&second, &page).await?;
    second.open(target).await?.expect(403)?;
    ensure!(!is_linked(&identities(&daemon, "mallory").await?));
    let refused = site::events(&daemon, "identity.link_refused").await?;
    ensure!(refused[0]["reason"] == "identity_linked_elsewhere", "{refused:?}");

    // Unlinking one of two works, and the last one stays, by every way.
    let page = browser.get(daemon.url("/account/identities")).await?.expect(200)?;
    let unlink = page
        .forms()?
        .into_iter()
        .find(|form| {
            form.field("connector").is_some_and(|field| field.value == UP)
                && form.field("action").is_some_and(|field| field.value == "unlink")
        })
        .context("no form to unlink")?;
    browser.submit(&page, &unlink, &[]).await?.expect(303)?;
    let left = identities(&daemon, JANE).await?;
    ensure!(left.len() == 1 && left[0].0 == "local", "{left:?}");
    let subject = left[0].1.clone();
    let last = daemon
        .cli(&["user", "unlink", JANE, "--connector", "local", "--subject", &subject])
        .await?
        .expect(1)?;
    ensure!(last.stderr.contains("last way in"), "{}", last.stderr);
    // Without the link the provider's person is a stranger again.
    let stranger = Browser::new()?;
    through(&daemon, &stranger, UP).await?.expect(200)?;
    ensure!(whoami(&daemon, &stranger).await?.as_deref() == Some("ada"));
    drop(provider);
    Ok(())
}

async fn refused_as_taken(daemon: &Daemon) -> Result<()> {
    through(daemon, &Browser::new()?, UP).await?.expect(403)?;
    let (reason, _) = given::last_refusal(daemon).await?;
    ensure!(reason == "username_taken" || reason == "email_taken", "{reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_change_hands_take_nobody_s_account() -> Result<()> {
    let more = "[oidc.accounts]\nauthoritative_domains = [\"example.com\", \"example.org\"]";
    let (provider, daemon) = scripted(more).await?;
    through(&daemon, &Browser::new()?, UP).await?.expect(200)?;

    // The address is given to somebody else upstream: a new subject with Ada's address.
    provider.person("ada-2", &given::ada());
    refused_as_taken(&daemon).await?;
    ensure!(identities(&daemon, "ada").await?.len() == 1);

    // A known person's address becomes Jane's upstream: they stay who they are, and Jane too.
    let mut moved = given::ada();
    moved["email"] = json!("jane@example.org");
    provider.person("ada-1", &moved);
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("ada"));
    let shown = daemon.cli(&["user", "show", "ada", "--json"]).await?.success()?.json()?;
    ensure!(shown["email"] == "ada@example.com", "{shown}");
    let conflicts = site::events(&daemon, "account.conflict").await?;
    ensure!(conflicts[0]["reason"] == "email_taken", "{conflicts:?}");
    ensure!(!is_linked(&identities(&daemon, JANE).await?));

    // A user name is no proof either.
    provider.person("other-1", &json!({ "preferred_username": JANE }));
    refused(&daemon, "username_taken").await?;
    Ok(())
}

/// A connector that anybody can make an account at says that an address is verified; the one that
/// hands the address out must not link its person to that account.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_prepared_with_another_s_address_catches_nobody() -> Result<()> {
    let corp = ScriptedProvider::start(
        "boss-1",
        &json!({
            "preferred_username": "boss", "email": "boss@example.com", "email_verified": true,
        }),
    )
    .await?;
    let public = ScriptedProvider::start(
        "attacker-1",
        &json!({
            "preferred_username": "attacker", "email": "boss@example.com", "email_verified": true,
        }),
    )
    .await?;
    let authoritative = "[oidc.accounts]\nauthoritative_domains = [\"example.com\"]";
    let builder = site::daemon()
        .toml(&given::connection("public", public.issuer(), ""))
        .toml(&given::connection(UP, corp.issuer(), authoritative));
    let daemon = site::start(builder).await?;
    through(&daemon, &Browser::new()?, "public").await?.expect(200)?;
    through(&daemon, &Browser::new()?, UP).await?.expect(403)?;
    let (reason, detail) = given::last_refusal(&daemon).await?;
    ensure!(reason == "email_taken", "{reason}");
    ensure!(detail.contains("local_address_not_vouched_for"), "{detail}");
    ensure!(!is_linked(&identities(&daemon, "attacker").await?));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_rules_decide_who_comes_in() -> Result<()> {
    let invite = "[oidc.accounts]\nprovisioning = \"invite\"";
    let (provider, daemon) = scripted(invite).await?;
    refused(&daemon, "invitation_required").await?;
    daemon.create_user("ada.l", "ada.l@example.org", PASSWORD).await?;
    let arguments = ["user", "link", "ada.l", "--connector", UP, "--subject", "ada-1"];
    daemon.cli(&[&arguments[..], &["--dry-run"]].concat()).await?.success()?;
    refused(&daemon, "invitation_required").await?;
    daemon.cli(&arguments).await?.success()?;
    through(&daemon, &Browser::new()?, UP).await?.expect(200)?;
    let taken = ["user", "link", JANE, "--connector", UP, "--subject", "ada-1"];
    daemon.cli(&taken).await?.expect(1)?;
    daemon
        .cli(&["user", "link", JANE, "--connector", "none", "--subject", "x"])
        .await?
        .expect(1)?;
    drop(provider);

    let sync = "[oidc.accounts]\nprovisioning = \"sync\"";
    let (_provider, daemon) = scripted(sync).await?;
    refused(&daemon, "not_synchronised").await?;

    let rules = "[oidc.accounts]\nallowed_email_domains = [\"example.com\"]\n\
                 required_groups = [\"chat\", \"staff\"]";
    let (provider, daemon) = scripted(rules).await?;
    through(&daemon, &Browser::new()?, UP).await?.expect(200)?;
    for (change, reason) in [
        (json!({ "groups": ["others"] }), "required_group_missing"),
        (json!({ "groups": [] }), "required_group_missing"),
        (json!({ "email_verified": false }), "email_domain_not_allowed"),
        (json!({ "email": "ada@example.com.evil.test" }), "email_domain_not_allowed"),
        (json!({ "email": "ada@evil.test@example.com" }), "email_domain_not_allowed"),
        (json!({ "email": null }), "email_domain_not_allowed"),
    ] {
        let mut person = given::ada();
        for (name, value) in change.as_object().into_iter().flatten() {
            person[name] = value.clone();
        }
        provider.person("ada-1", &person);
        refused(&daemon, reason).await.with_context(|| change.to_string())?;
    }
    Ok(())
}
