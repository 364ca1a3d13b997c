//! Every way in times every set of factors times both places where it begins: nobody has a session,
//! a code or a token before the second step, and the right factor gives exactly one of them.
//!
//! Without a password (`mfa.passwordless`) there is no second step to skip: see `passkeys`.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::html::{self, Form};
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::oidc::RelyingParty;
use auth_tests::harness::simplesamlphp::SimpleSamlPhp;
use auth_tests::harness::slapd::Slapd;
use auth_tests::harness::upstream_oidc::ScriptedProvider;
use fantoccini::Locator;
use serde_json::{Value, json};

use crate::second_factor::code;
use crate::site::{self, JANE, PASSWORD, REDIRECT, SCOPE};
use crate::{login_oidc, login_saml};

/// A way in, whose first step somebody else vouches for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Entry {
    Local,
    Ldap,
    Saml,
    Oidc,
}

/// What an account has when its person comes with the first step alone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Has {
    Nothing,
    App,
    Passkey,
}

/// Where a sign-in begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    OwnPage,
    Client,
}

const ENTRIES: [Entry; 4] = [Entry::Local, Entry::Ldap, Entry::Saml, Entry::Oidc];
const SETS: [Has; 3] = [Has::Nothing, Has::App, Has::Passkey];
const STARTS: [Start; 2] = [Start::OwnPage, Start::Client];

impl Entry {
    const fn connector(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Ldap => "ldap",
            Self::Saml => "corp",
            Self::Oidc => "up",
        }
    }

    /// Whose account it is; each entry has its own.
    const fn person(self) -> &'static str {
        match self {
            Self::Local => JANE,
            Self::Ldap => "alice",
            Self::Saml => "bob",
            Self::Oidc => "ada",
        }
    }
}

/// What proved the first step, to be shown once more.
enum Proof {
    Address(String),
    Response(Form),
}

struct Site {
    daemon: Daemon,
    party: RelyingParty,
    _slapd: Slapd,
    idp: SimpleSamlPhp,
    _provider: ScriptedProvider,
}

async fn start() -> Result<Site> {
    let slapd = Slapd::start()?;
    let idp = SimpleSamlPhp::start().await?;
    let provider = ScriptedProvider::start("ada-1", &login_oidc::given::ada()).await?;
    let builder = site::daemon()
        .set("mfa.policy", "required")
        .directory("ldap", &slapd)
        .file("corp.xml", &idp.metadata().await?)
        .toml(&login_saml::given::connection("corp", ""))
        .toml(&login_oidc::given::connection("up", provider.issuer(), ""));
    let daemon = site::start(builder).await?;
    login_saml::given::introduce(&idp, &daemon, "corp").await?;
    let party = site::relying_party(&daemon).await?;
    Ok(Site { daemon, party, _slapd: slapd, idp, _provider: provider })
}

impl Site {
    /// The address where the entry's own way begins, from our page or from a client's request.
    async fn door(&self, entry: Entry, asked: Option<&str>, browser: &Browser) -> Result<String> {
        let path = format!("/login/{}", entry.connector());
        let Some(asked) = asked else { return Ok(self.daemon.url(&path)) };
        let page = browser.open(asked).await?.expect(200)?;
        let links = html::links(&page.body)?;
        let link = links.iter().find(|link| link.starts_with(&format!("{path}?")));
        Ok(self.daemon.url(link.with_context(|| format!("no way to {path} in {links:?}"))?))
    }

    /// The first step, up to the page of the second one.
    async fn first_step(
        &self,
        entry: Entry,
        asked: Option<&str>,
        browser: &Browser,
    ) -> Result<(Page, Proof)> {
        let door = self.door(entry, asked, browser).await?;
        match entry {
            Entry::Local | Entry::Ldap => {
                let page = browser.open(door).await?.expect(200)?;
                let password = if entry == Entry::Local { PASSWORD } else { "secret-alice" };
                let (connector, name) = (entry.connector(), entry.person());
                let next = browser.sign_in(&page, connector, name, password).await?.expect(303)?;
                let proof = Proof::Address(next.location()?.into());
                Ok((browser.follow(next, |_| false).await?.expect(200)?, proof))
            }
            Entry::Saml => {
                let page = browser.open(door).await?.expect(200)?;
                let page = login_saml::given::answer_form(browser, &page, "bob").await?;
                let response = login_saml::given::posted(&page)?;
                let page = login_saml::given::deliver(browser, &response).await?.expect(200)?;
                Ok((page, Proof::Response(response)))
            }
            Entry::Oidc => {
                let page = browser.get(door).await?;
                let back = |url: &url::Url| url.path() == "/oidc/up/callback";
                let callback = browser.follow(page, back).await?.location()?;
                let page = browser.open(callback.as_str()).await?.expect(200)?;
                Ok((page, Proof::Address(callback.into())))
            }
        }
    }

    /// Leaves the account with this set of factors and no session; gives recovery codes.
    async fn prepare(&self, entry: Entry, has: Has, chromium: &Chromium) -> Result<Vec<String>> {
        // There is no such account before its first sign-in.
        self.daemon.cli(&["user", "reset-mfa", entry.person()]).await?;
        let codes = match has {
            Has::Nothing => Vec::new(),
            Has::App => {
                let browser = Browser::new()?;
                let (page, _) = self.first_step(entry, None, &browser).await?;
                set_up_app(&browser, &page).await?.0
            }
            Has::Passkey => self.set_up_passkey(entry, chromium).await?,
        };
        self.daemon.cli(&["session", "revoke", "--all"]).await?.success()?;
        Ok(codes)
    }

    async fn set_up_passkey(&self, entry: Entry, chromium: &Chromium) -> Result<Vec<String>> {
        chromium.devtools("Network.clearBrowserCookies", json!({})).await?;
        let door = self.daemon.url(&format!("/login/{}", entry.connector()));
        chromium.client.goto(&door).await?;
        let typed = match entry {
            Entry::Local => Some((JANE, PASSWORD)),
            Entry::Ldap => Some(("alice", "secret-alice")),
            Entry::Saml => Some(("bob", "bob-pass")),
            Entry::Oidc => None,
        };
        if let Some((name, password)) = typed {
            if entry == Entry::Saml {
                let there = self.idp.url();
                chromium.wait_for_url(|url| url.as_str().starts_with(&there)).await?;
            }
            chromium.type_into("username", name).await?;
            chromium.type_into("password", password).await?;
            let button =
                "button[type='submit'], input[type='submit'], form[action^='/login/'] button";
            chromium.wait_for_css(button).await?.click().await?;
        }
        chromium.wait_for_css("#totp-secret").await?;
        chromium.type_into("name", "Key").await?;
        chromium.wait_for_css("form#passkey:not([hidden]) button").await?.click().await?;
        chromium.wait_for_css(".recovery-code").await?;
        let mut codes = Vec::new();
        for code in chromium.client.find_all(Locator::Css(".recovery-code")).await? {
            codes.push(code.text().await?);
        }
        ensure!(codes.len() == 10, "{codes:?}");
        Ok(codes)
    }

    async fn sessions(&self) -> Result<Vec<Value>> {
        let listed = self.daemon.cli(&["session", "list", "--json"]).await?.success()?.json()?;
        Ok(listed.as_array().context("a list")?.clone())
    }

    /// Everything that might lead past the second step.
    async fn early(
        &self,
        browser: &Browser,
        page: &Page,
        form: &Form,
        proof: &Proof,
    ) -> Result<()> {
        let token = form.field("csrf").context("csrf")?.value.as_str();
        let plain = self.party.authorize(SCOPE).url.to_string();
        let mut urls: Vec<String> = [
            "/account",
            "/account/security",
            "/account/security/totp",
            "/account/sessions",
            "/login/continue",
            "/login/factor",
            "/login/enrol",
        ]
        .map(|path| self.daemon.url(path))
        .to_vec();
        urls.push(page.url.to_string());
        // Without acr_values, with fewer, silently: a client's own demand is not the policy's.
        urls.push(format!("{plain}&acr_values=urn%3Aauth%3Aaal1"));
        urls.push(format!("{plain}&prompt=none"));
        urls.push(plain);
        let (handle, mac) = token.split_once('.').context("handle.mac")?;
        let forged = format!("{}.{mac}", "A".repeat(43));
        let posts: Vec<(&str, Vec<(&str, &str)>)> = vec![
            ("/login/factor", vec![("csrf", token), ("code", "000000")]),
            ("/login/factor", vec![("csrf", token), ("code", "")]),
            ("/login/factor", vec![("csrf", token)]),
            ("/login/enrol", vec![("csrf", token), ("code", "000000")]),
            ("/login/factor", vec![("csrf", forged.as_str()), ("code", "000000")]),
            ("/login/factor", vec![("csrf", handle), ("code", "000000")]),
            ("/login/enrol/later", vec![("csrf", token)]),
            ("/login/passkey", vec![("csrf", token), ("credential", "{}")]),
            ("/login/continue", vec![("csrf", token)]),
            ("/login/local", vec![("csrf", token), ("username", JANE), ("password", PASSWORD)]),
            ("/account/security/totp", vec![("csrf", token), ("handle", handle), ("code", "0")]),
            ("/account/security/factors", vec![("csrf", token), ("action", "remove")]),
        ];
        for url in urls {
            let page = browser.get(&url).await?;
            self.is_outside(browser, &page).await.with_context(|| format!("GET {url}"))?;
        }
        for (path, fields) in posts {
            let page = browser.post(self.daemon.url(path), &fields).await?;
            self.is_outside(browser, &page).await.with_context(|| format!("POST {path}"))?;
        }
        // What proved the first step, once more: in this browser and in another.
        let stranger = Browser::new()?;
        for browser in [browser, &stranger] {
            let page = match proof {
                Proof::Address(url) => browser.get(url).await?,
                Proof::Response(form) => login_saml::given::deliver(browser, form).await?,
            };
            self.is_outside(browser, &page).await.context("the first step's proof again")?;
        }
        let sessions = self.sessions().await?;
        ensure!(sessions.is_empty(), "a session: {sessions:?}");
        Ok(())
    }

    async fn is_outside(&self, browser: &Browser, page: &Page) -> Result<()> {
        let location = page.headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or("");
        ensure!(!location.contains("code="), "a code: {}", page.describe());
        let cookies = page.headers.get_all("set-cookie");
        let session = cookies.iter().any(|it| it.as_bytes().starts_with(b"auth_session="));
        ensure!(!session, "a session: {}", page.describe());
        let account = browser.get(self.daemon.url("/account")).await?;
        ensure!(account.status == 303, "signed in by {}", page.describe());
        Ok(())
    }

    /// The right factor, and what it gives.
    async fn second_step(
        &self,
        entry: Entry,
        start: Start,
        browser: &Browser,
        recovery: Option<&str>,
    ) -> Result<()> {
        // A client's code can be exchanged with the verifier of its own request only.
        let authorization = self.party.authorize(SCOPE);
        let asked = (start == Start::Client).then_some(authorization.url.as_str());
        let (page, _) = self.first_step(entry, asked, browser).await?;
        let done = match recovery {
            Some(code) => {
                let form = page.form_to("/login/factor")?;
                browser.submit(&page, &form, &[("code", code)]).await?.expect(303)?
            }
            None => {
                let (_, page) = set_up_app(browser, &page).await?;
                let links = html::links(&page.body)?;
                // Where the person was going, below the codes.
                let onward = links.last().with_context(|| page.describe())?;
                browser.get(page.url.join(onward)?).await?
            }
        };
        let end = browser.follow(done, |url| url.as_str().starts_with(REDIRECT)).await?;
        if start == Start::Client {
            let code = self.party.code(&authorization, &end.location()?)?;
            let tokens = self.party.exchange(&authorization, &code).await?;
            let said = self.party.introspect(&tokens.access_token).await?;
            ensure!(said["active"] == true && said["acr"] == "urn:auth:aal2", "{said}");
            ensure!(said["username"] == entry.person(), "{said}");
        } else {
            ensure!(end.url.path() == "/account", "{}", end.describe());
        }
        let sessions = self.sessions().await?;
        let own = sessions.iter().filter(|session| session["client"].is_null()).count();
        ensure!(own == 1, "not one session: {sessions:?}");
        self.daemon.cli(&["session", "revoke", "--all"]).await?.success()?;
        Ok(())
    }
}

/// Gives the recovery codes and the page that shows them.
async fn set_up_app(browser: &Browser, page: &Page) -> Result<(Vec<String>, Page)> {
    let secret = html::text_of(&page.body, "totp-secret")?.context("no seed")?;
    let form = page.form_to("/login/enrol")?;
    let page = browser.submit(page, &form, &[("code", &code(&secret, 0)?)]).await?.expect(200)?;
    let codes = html::texts_of_class(&page.body, "recovery-code")?;
    ensure!(codes.len() == 10, "{}", page.describe());
    Ok((codes, page))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_entry_with_any_set_of_factors_reaches_a_session_early() -> Result<()> {
    let site = start().await?;
    let chromium = Chromium::start().await?;
    chromium.add_authenticator().await?;
    let mut cells = 0;
    for entry in ENTRIES {
        for has in SETS {
            let mut recovery = site
                .prepare(entry, has, &chromium)
                .await
                .with_context(|| format!("{entry:?} {has:?}"))?;
            for start in STARTS {
                let case = || format!("{entry:?} {has:?} {start:?}");
                let browser = Browser::new()?;
                let authorization = site.party.authorize(SCOPE);
                let asked = (start == Start::Client).then_some(authorization.url.as_str());
                let (page, proof) =
                    site.first_step(entry, asked, &browser).await.with_context(case)?;
                let expected = if has == Has::Nothing { "/login/enrol" } else { "/login/factor" };
                let form = page.form_to(expected).with_context(case)?;
                site.early(&browser, &page, &form, &proof).await.with_context(case)?;
                let fresh = Browser::new()?;
                site.second_step(entry, start, &fresh, recovery.pop().as_deref())
                    .await
                    .with_context(case)?;
                if has == Has::Nothing {
                    site.prepare(entry, has, &chromium).await.with_context(case)?;
                }
                cells += 1;
            }
        }
    }
    ensure!(cells == ENTRIES.len() * SETS.len() * STARTS.len() && cells == 24, "{cells} cells");
    Ok(())
}
