//! Row 30 of the attack table: whatever the RelayState of an unsolicited answer says, nobody is led
//! elsewhere by it, and no page repeats it.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::saml_corpus::{Kind, cases, folder};

use super::given::{CORP, answer_form, posted, site, whoami};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_elsewhere_by_it() -> Result<()> {
    let site = site("allow_idp_initiated = true").await?;
    let corpus = folder("hostile");
    let mut judged = 0;
    for case in cases::load(&corpus)?.iter().filter(|case| case.kind == Kind::RelayState) {
        let name = &case.name;
        let relay_state = String::from_utf8(case.content(&corpus)?)?;
        let browser = Browser::new()?;
        let ours = format!("{}/saml/{CORP}/metadata", site.daemon.issuer());
        let page = browser.open(site.idp.unsolicited_url(&ours, "deep")).await?.expect(200)?;
        let form = posted(&answer_form(&browser, &page, "alice").await?)?;
        let mut fields = form.filled(&[])?;
        let field = fields.iter_mut().find(|(name, _)| name == "RelayState");
        field.context("a RelayState")?.1.clone_from(&relay_state);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut page = browser.post(&form.action, &fields).await?;
        let mut hops = 0;
        let said = |body: &str| relay_state.len() > 8 && body.contains(relay_state.trim());
        // Step by step: no redirect leaves the daemon.
        while page.status.is_redirection() {
            hops += 1;
            let next = page.location()?;
            ensure!(next.as_str().starts_with(&site.daemon.url("/")), "{name}: to {next}");
            ensure!(hops < 10, "{name}: redirects without end");
            page = browser.get(next).await?;
        }
        ensure!(!said(&page.body), "{name}: {}", page.describe());
        judged += 1;
        if page.status.is_client_error() {
            ensure!(whoami(&site.daemon, &browser).await?.is_none(), "{name}: signed in");
            continue;
        }
        let page = page.expect(200)?;
        let question = page.form_to("/login/continue").with_context(|| name.clone())?;
        let page = browser.submit(&page, &question, &[]).await?;
        let page = browser.follow(page, |_| false).await?.expect(200)?;
        ensure!(page.url.as_str() == site.daemon.url("/account"), "{name}: {}", page.describe());
        ensure!(page.header("refresh").is_empty(), "{name}: {}", page.describe());
        ensure!(!said(&page.body), "{name}: {}", page.describe());
        ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"), "{name}");
    }
    ensure!(judged >= 14, "{judged} cases");
    Ok(())
}
