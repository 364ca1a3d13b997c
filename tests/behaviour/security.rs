//! What people do with their own factors, and what spares a second factor: self-service, remembered
//! devices, putting off, step-up, seeds taken over from another program.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::html::{self, Form};
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::oidc::RelyingParty;

use crate::second_factor::{code, code_of, enrol, password_passed};
use crate::site::{self, JANE, PASSWORD, SCOPE};

async fn signed_in(daemon: &Daemon) -> Result<Browser> {
    let browser = Browser::new()?;
    let page = password_passed(daemon, &browser).await?;
    ensure!(page.url.path() == "/account", "{}", page.describe());
    Ok(browser)
}

/// The form to `path` that holds this field.
fn form_with(page: &Page, path: &str, field: (&str, &str)) -> Result<Form> {
    let holds = |form: &Form| {
        form.action == path
            && form.fields.iter().any(|it| it.name == field.0 && it.value == field.1)
    };
    page.forms()?.into_iter().find(holds).with_context(|| format!("{field:?}: {}", page.describe()))
}

async fn security(daemon: &Daemon, browser: &Browser) -> Result<Page> {
    browser.get(daemon.url("/account/security")).await?.expect(200)
}

/// Adds an authenticator app by self-service; gives its seed and the recovery codes shown.
async fn add_app(daemon: &Daemon, browser: &Browser) -> Result<(String, Vec<String>)> {
    let page = browser.get(daemon.url("/account/security/totp")).await?.expect(200)?;
    let secret = html::text_of(&page.body, "totp-secret")?.context("no seed")?;
    let form = page.form_to("/account/security/totp")?;
    browser.submit(&page, &form, &[("code", "000000")]).await?.expect(422)?;
    let done = browser.submit(&page, &form, &[("code", &code(&secret, 0)?)]).await?;
    let codes = html::texts_of_class(&done.body, "recovery-code")?;
    Ok((secret, codes))
}

#[tokio::test(flavor = "multi_thread")]
async fn people_keep_their_own_factors() -> Result<()> {
    let daemon = site::start(site::daemon().set("mfa.policy", "optional")).await?;
    let browser = signed_in(&daemon).await?;
    let (_, first_codes) = add_app(&daemon, &browser).await?;
    ensure!(first_codes.len() == 10, "{first_codes:?}");
    // The session has one factor, the account two: it is not fresh any more.
    let page = security(&daemon, &browser).await?;
    ensure!(page.body.contains("/account/security/confirm"), "{}", page.describe());
    for path in ["totp", "passkey", "password"] {
        let page = browser.get(daemon.url(&format!("/account/security/{path}"))).await?;
        ensure!(page.location()?.path() == "/account/security/confirm", "{}", page.describe());
    }
    // Re-authentication is a login of the same account with its second factor, and leads back.
    let confirm = browser.get(daemon.url("/account/security/confirm")).await?.expect(200)?;
    ensure!(confirm.body.contains(&format!("value=\"{JANE}\"")), "{}", confirm.describe());
    daemon.create_user("mary", "mary@example.org", PASSWORD).await?;
    browser.sign_in(&confirm, "local", "mary", PASSWORD).await?.expect(401)?;
    let page = browser.sign_in(&confirm, "local", JANE, PASSWORD).await?.expect(303)?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    let form = page.form_to("/login/factor")?;
    let page = browser.submit(&page, &form, &[("code", &first_codes[0])]).await?.expect(303)?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    ensure!(page.url.path() == "/account/security", "{}", page.describe());
    let left = html::text_of(&page.body, "recovery-left")?.context("no count")?;
    ensure!(left.starts_with("9 left"), "{left}");

    // A second app beside the first one: either is good at a login.
    let (second_secret, none) = add_app(&daemon, &browser).await?;
    ensure!(none.is_empty(), "the codes were drawn anew");
    let other = Browser::new()?;
    let page = password_passed(&daemon, &other).await?;
    let form = page.form_to("/login/factor")?;
    other.submit(&page, &form, &[("code", &code(&second_secret, 1)?)]).await?.expect(303)?;

    // Another name, fresh codes, the end of one factor.
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(shown["factors"].as_array().is_some_and(|all| all.len() == 2), "{shown}");
    let page = security(&daemon, &browser).await?;
    let form = form_with(&page, "/account/security/factors", ("action", "rename"))?;
    let values = [("name", "Old telephone"), ("action", "rename")];
    browser.submit(&page, &form, &values).await?.expect(303)?;
    let page = security(&daemon, &browser).await?;
    ensure!(page.body.contains("Old telephone"), "{}", page.describe());
    let form = page.form_to("/account/security/recovery-codes")?;
    let fresh = browser.submit(&page, &form, &[]).await?.expect(200)?;
    let codes = html::texts_of_class(&fresh.body, "recovery-code")?;
    ensure!(codes.len() == 10 && !codes.contains(&first_codes[1]), "{codes:?}");
    let form = form_with(&page, "/account/security/factors", ("action", "remove"))?;
    browser.submit(&page, &form, &[("action", "remove")]).await?.expect(303)?;
    let page = security(&daemon, &browser).await?;
    ensure!(!page.body.contains("Old telephone"), "{}", page.describe());
    // Nobody demands one here, so the last one may go too, and the codes with it.
    let form = form_with(&page, "/account/security/factors", ("action", "remove"))?;
    browser.submit(&page, &form, &[("action", "remove")]).await?.expect(303)?;
    signed_in(&daemon).await?;
    let names: Vec<String> = site::audit(&daemon)
        .await?
        .iter()
        .filter_map(|event| event["event"].as_str().map(str::to_owned))
        .filter(|name| name.starts_with("factor."))
        .collect();
    for name in
        ["factor.added", "factor.renamed", "factor.recovery_codes_replaced", "factor.removed"]
    {
        ensure!(names.contains(&name.to_owned()), "{name} is missing: {names:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_factor_stays_where_one_is_demanded() -> Result<()> {
    let rule = "[[mfa.rule]]\nclient = \"chat\"\npolicy = \"required\"";
    let daemon = site::start(site::daemon().set("mfa.policy", "optional").toml(rule)).await?;
    let browser = signed_in(&daemon).await?;
    let (_, codes) = add_app(&daemon, &browser).await?;
    let page = browser.get(daemon.url("/account/security/confirm")).await?.expect(200)?;
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    let form = page.form_to("/login/factor")?;
    browser.submit(&page, &form, &[("code", &codes[0])]).await?.expect(303)?;
    let page = security(&daemon, &browser).await?;
    let form = form_with(&page, "/account/security/factors", ("action", "remove"))?;
    let page = browser.submit(&page, &form, &[("action", "remove")]).await?.expect(422)?;
    ensure!(page.body.contains("the last one stays"), "{}", page.describe());
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(shown["factors"].as_array().is_some_and(|all| all.len() == 1), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_session_s_enrolment_and_another_s_factor_are_out_of_reach() -> Result<()> {
    let daemon = site::start(site::daemon().set("mfa.policy", "optional")).await?;
    let (jane, thief) = (signed_in(&daemon).await?, signed_in(&daemon).await?);
    let page = jane.get(daemon.url("/account/security/totp")).await?.expect(200)?;
    let secret = html::text_of(&page.body, "totp-secret")?.context("no seed")?;
    let handle = page.form_to("/account/security/totp")?;
    let handle = handle.field("handle").context("handle")?.value.clone();
    let own = thief.get(daemon.url("/account/security/totp")).await?.expect(200)?;
    let csrf = own.form_to("/account/security/totp")?.field("csrf").context("csrf")?.value.clone();
    let right = code(&secret, 0)?;
    let fields = [("csrf", csrf.as_str()), ("handle", handle.as_str()), ("code", right.as_str())];
    thief.post(daemon.url("/account/security/totp"), &fields).await?.expect(403)?;
    // Without the form's token nothing is done either.
    let fields = [("csrf", "x"), ("handle", handle.as_str()), ("code", right.as_str())];
    jane.post(daemon.url("/account/security/totp"), &fields).await?.expect(403)?;
    let form = page.form_to("/account/security/totp")?;
    jane.submit(&page, &form, &[("code", &right)]).await?.expect(200)?;

    daemon.create_user("mary", "mary@example.org", PASSWORD).await?;
    let mary = Browser::new()?;
    let page = site::attempt(&daemon, &mary, "local", "mary", PASSWORD).await?.expect(303)?;
    mary.follow(page, |_| false).await?.expect(200)?;
    let page = security(&daemon, &mary).await?;
    let own = mary.get(daemon.url("/account/security/totp")).await?.expect(200)?;
    let csrf = own.form_to("/account/security/totp")?.field("csrf").context("csrf")?.value.clone();
    ensure!(page.status == 200);
    let events = site::events(&daemon, "factor.added").await?;
    let factor = events[0]["detail"]["factor"].as_str().context("id of Jane's factor")?.to_owned();
    for action in ["remove", "rename"] {
        let fields = [
            ("csrf", csrf.as_str()),
            ("factor", factor.as_str()),
            ("action", action),
            ("name", "mine"),
        ];
        mary.post(daemon.url("/account/security/factors"), &fields).await?.expect(404)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_with_the_old_one_under_the_login_s_limiter() -> Result<()> {
    let builder = site::daemon().set("throttle.failures_per_account", 3);
    let daemon = site::start(builder).await?;
    let browser = signed_in(&daemon).await?;
    let page = browser.get(daemon.url("/account/security/password")).await?.expect(200)?;
    let form = page.form_to("/account/security/password")?;
    let change = async |old: &str, new: &str, again: &str| {
        let values = [("old_password", old), ("new_password", new), ("repeated", again)];
        browser.submit(&page, &form, &values).await
    };
    let new = "eighteen loud otters";
    change(PASSWORD, new, "something else here").await?.expect(422)?;
    let short = change(PASSWORD, "short", "short").await?.expect(422)?;
    ensure!(short.body.contains("15"), "{}", short.describe());
    change("wrong password here", new, new).await?.expect(422)?;
    change(PASSWORD, new, new).await?.expect(200)?;
    ensure!(browser.get(daemon.url("/account")).await?.status == 303, "the session lives on");
    site::attempt(&daemon, &browser, "local", JANE, PASSWORD).await?.expect(401)?;
    site::attempt(&daemon, &browser, "local", JANE, new).await?.expect(303)?;

    let browser = Browser::new()?;
    let page = site::attempt(&daemon, &browser, "local", JANE, new).await?.expect(303)?;
    browser.follow(page, |_| false).await?.expect(200)?;
    let page = browser.get(daemon.url("/account/security/password")).await?.expect(200)?;
    let form = page.form_to("/account/security/password")?;
    for old in ["one wrong password", "two wrong passwords", "three wrong ones", new] {
        let values = [("old_password", old), ("new_password", PASSWORD), ("repeated", PASSWORD)];
        browser.submit(&page, &form, &values).await?.expect(422)?;
    }
    let refused = site::events(&daemon, "account.password_change_refused").await?;
    ensure!(refused.last().is_some_and(|event| event["reason"] == "throttled"), "{refused:?}");
    // The same counter: the login's door is shut too.
    site::attempt(&daemon, &Browser::new()?, "local", JANE, new).await?.expect(401)?;
    Ok(())
}

/// Follows an authorization as far as it goes by itself; whether it ends with a code.
async fn has_code(party: &RelyingParty, browser: &Browser, url: &str) -> Result<bool> {
    let page = browser.get(url).await?;
    let page = browser.follow(page, |url| party.is_redirect_uri(url)).await?;
    let location = page.headers.get("location").and_then(|to| to.to_str().ok());
    Ok(location.is_some_and(|to| to.contains("code=")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_device_spares_the_factor_until_it_is_revoked() -> Result<()> {
    let builder = site::daemon().set("mfa.policy", "required").set("mfa.remember_device", "30d");
    let daemon = site::start(builder).await?;
    let (secret, recovery) = enrol(&daemon, &Browser::new()?).await?;
    let party = site::relying_party(&daemon).await?;
    let plain = party.authorize(SCOPE).url.to_string();
    let stepped_up = format!("{plain}&acr_values=urn%3Aauth%3Aaal2");
    let browser = Browser::new()?;
    let page = password_passed(&daemon, &browser).await?;
    let form = page.form_to("/login/factor")?;
    ensure!(form.field("remember").is_some(), "{}", page.describe());
    let values = [("code", &*code(&secret, 1)?), ("remember", "1")];
    browser.submit(&page, &form, &values).await?.expect(303)?;
    let url = page.url.clone();
    let token = browser.cookie(&url, "auth_device").context("no device cookie")?;
    ensure!(!daemon.log().join("\n").contains(&token), "the log holds the token");

    // The next login in this browser asks for no code, and serves a client with the policy.
    site::attempt(&daemon, &browser, "local", JANE, PASSWORD).await?.expect(303)?;
    ensure!(browser.get(daemon.url("/account")).await?.status == 200);
    ensure!(has_code(&party, &browser, &plain).await?, "the policy asks in spite of the device");
    // What the client asks for itself, and what guards the factors, is not spared.
    ensure!(!has_code(&party, &browser, &stepped_up).await?, "acr_values are met by a device");
    let page = security(&daemon, &browser).await?;
    ensure!(page.body.contains("/account/security/confirm"), "{}", page.describe());
    // Another browser, another account: nothing.
    let other = Browser::new()?;
    password_passed(&daemon, &other).await?.form_to("/login/factor")?;
    daemon.create_user("mary", "mary@example.org", PASSWORD).await?;
    let stolen = Browser::new()?;
    stolen.set_cookie(&url, &format!("auth_device={token}; Path=/"));
    let page = site::attempt(&daemon, &stolen, "local", "mary", PASSWORD).await?.expect(303)?;
    stolen.follow(page, |_| false).await?.expect(200)?.form_to("/login/enrol")?;

    // Revoked by an administrator, by a changed password, by a reset, by its owner.
    let revocations: [&[&str]; 2] =
        [&["session", "revoke", "--user", JANE], &["user", "disable", JANE]];
    let mut codes = recovery.iter();
    for revocation in revocations {
        let browser = remembered(&daemon, codes.next().context("a code")?).await?;
        daemon.cli(revocation).await?.success()?;
        daemon.cli(&["user", "enable", JANE]).await?.success()?;
        password_passed(&daemon, &browser).await?.form_to("/login/factor")?;
    }
    let browser = remembered(&daemon, codes.next().context("a code")?).await?;
    let page = browser.get(daemon.url("/account/sessions")).await?.expect(200)?;
    let form = form_with(&page, "/account/sessions", ("session", "all"))?;
    browser.submit(&page, &form, &[]).await?.expect(303)?;
    password_passed(&daemon, &browser).await?.form_to("/login/factor")?;

    let browser = remembered(&daemon, codes.next().context("a code")?).await?;
    let page = security(&daemon, &browser).await?;
    let form = form_with(&page, "/account/security/devices", ("device", "all"))?;
    browser.submit(&page, &form, &[]).await?.expect(303)?;
    password_passed(&daemon, &browser).await?.form_to("/login/factor")?;

    let browser = remembered(&daemon, codes.next().context("a code")?).await?;
    daemon.cli(&["user", "reset-mfa", JANE]).await?.success()?;
    password_passed(&daemon, &browser).await?.form_to("/login/enrol")?;
    Ok(())
}

/// A browser on which the factor was passed and that is remembered.
async fn remembered(daemon: &Daemon, code: &str) -> Result<Browser> {
    let browser = Browser::new()?;
    let page = password_passed(daemon, &browser).await?;
    let form = page.form_to("/login/factor")?;
    let values = [("code", code), ("remember", "1")];
    browser.submit(&page, &form, &values).await?.expect(303)?;
    Ok(browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_is_put_off_a_few_times_and_never_for_a_client_that_asks() -> Result<()> {
    let builder =
        site::daemon().set("mfa.policy", "required").toml("[mfa.grace]\nlogins = 2\ndays = 7");
    let daemon = site::start(builder).await?;
    let party = site::relying_party(&daemon).await?;
    let plain = party.authorize(SCOPE).url.to_string();
    for left in ["2 more times", "once more"] {
        let browser = Browser::new()?;
        let page = password_passed(&daemon, &browser).await?;
        ensure!(page.body.contains(left), "{}", page.describe());
        let form = page.form_to("/login/enrol/later")?;
        browser.submit(&page, &form, &[]).await?.expect(303)?;
        // Sent again it is no second sign-in.
        let again = browser.submit(&page, &form, &[]).await?;
        ensure!(again.status == 303, "{}", again.describe());
        ensure!(browser.get(daemon.url("/account")).await?.status == 200);
        ensure!(has_code(&party, &browser, &plain).await?, "the policy asks in spite of it");
        let asked = format!("{plain}&acr_values=urn%3Aauth%3Aaal2");
        let page = browser.open(&asked).await?.expect(200)?;
        let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?.expect(303)?;
        let page = browser.follow(page, |_| false).await?.expect(200)?;
        ensure!(page.form_to("/login/enrol/later").is_err(), "{}", page.describe());
        let token = page.form_to("/login/enrol")?.field("csrf").context("csrf")?.value.clone();
        let fields = [("csrf", token.as_str())];
        browser.post(daemon.url("/login/enrol/later"), &fields).await?.expect(403)?;
    }
    let browser = Browser::new()?;
    let page = password_passed(&daemon, &browser).await?;
    ensure!(page.form_to("/login/enrol/later").is_err(), "{}", page.describe());
    let token = page.form_to("/login/enrol")?.field("csrf").context("csrf")?.value.clone();
    let fields = [("csrf", token.as_str())];
    let answer = browser.post(daemon.url("/login/enrol/later"), &fields).await?;
    ensure!(answer.status.is_client_error(), "{}", answer.describe());
    ensure!(browser.get(daemon.url("/account")).await?.status == 303, "signed in a third time");
    let refused = site::events(&daemon, "login.refused").await?;
    ensure!(refused.iter().any(|event| event["reason"] == "grace_over"), "{refused:?}");
    let postponed = site::events(&daemon, "factor.enrolment_postponed").await?;
    ensure!(postponed.len() == 2, "{postponed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_of_another_program_are_taken_over() -> Result<()> {
    const MATTERMOST: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    const LONG: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA";
    let daemon = site::start(site::daemon().set("mfa.policy", "required")).await?;
    daemon.create_user("mary", "mary@example.org", PASSWORD).await?;
    daemon.create_user("nora", "nora@example.org", PASSWORD).await?;
    let bad = format!(
        "Email,MfaSecret\njane@example.org,{MATTERMOST}\nnobody@example.org,{MATTERMOST}\n\
         mary@example.org,TOOSHORT\njane,{MATTERMOST}\n"
    );
    let output = daemon.cli_with_input(&["user", "import-totp", "-"], &bad).await?.expect(2)?;
    for line in ["-:3:", "-:4:", "-:5:", "nothing is imported"] {
        ensure!(output.stderr.contains(line), "{line}: {}", output.stderr);
    }
    ensure!(!output.stderr.contains(MATTERMOST) && !output.stderr.contains("TOOSHORT"));
    ensure!(site::events(&daemon, "factor.added").await?.is_empty(), "half of it was imported");

    let good = format!(
        "Email,MfaSecret\njane@example.org,{MATTERMOST}\n\
         otpauth://totp/Chat:mary@example.org?secret={LONG}&algorithm=SHA256&digits=8\n"
    );
    let file = daemon.folder().join("seeds.csv");
    std::fs::write(&file, &good)?;
    let file = file.display().to_string();
    let dry = ["user", "import-totp", &file, "--dry-run", "--json"];
    let shown = daemon.cli(&dry).await?.success()?.json()?;
    ensure!(shown["applied"] == false && shown["lines"][1]["account"] == "mary", "{shown}");
    ensure!(site::events(&daemon, "factor.added").await?.is_empty(), "a dry run imported");
    daemon.cli(&["user", "import-totp", &file]).await?.success()?;
    let again = daemon.cli(&["user", "import-totp", &file, "--json"]).await?.success()?.json()?;
    ensure!(again["lines"][0]["added"] == false, "{again}");
    let events = site::events(&daemon, "factor.added").await?;
    ensure!(events.len() == 2 && events[0]["detail"]["imported"] == true, "{events:?}");
    let stored = std::fs::read(daemon.folder().join("auth.db"))?;
    let plain = b"12345678901234567890";
    ensure!(!stored.windows(plain.len()).any(|it| it == plain), "a seed is stored unsealed");

    for (name, code) in [
        (JANE, code(MATTERMOST, 0)?),
        ("mary", code_of(LONG, 0, &["--totp=sha256", "--digits=8"])?),
    ] {
        let browser = Browser::new()?;
        let page = site::attempt(&daemon, &browser, "local", name, PASSWORD).await?.expect(303)?;
        let page = browser.follow(page, |_| false).await?.expect(200)?;
        let form = page.form_to("/login/factor")?;
        browser.submit(&page, &form, &[("code", &code)]).await?.expect(303).context(name)?;
    }
    let without = daemon.cli(&["user", "list", "--without-factor", "--json"]).await?.success()?;
    let names: Vec<_> = without.json()?.as_array().into_iter().flatten().cloned().collect();
    ensure!(names.len() == 1 && names[0]["username"] == "nora", "{names:?}");
    Ok(())
}
