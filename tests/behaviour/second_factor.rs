//! The second factor: set up at login, asked for, replayed, skipped, guessed.

use anyhow::{Context, Result, ensure};
use auth_core::clock::{Clock as _, SystemClock};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::html;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::postgres::PostgresServer;

use crate::site::{self, JANE, PASSWORD, SCOPE};

async fn required() -> Result<Daemon> {
    site::start(site::daemon().set("mfa.policy", "required")).await
}

/// What Debian's `oathtool` makes of a seed for the time step `steps` from now.
pub(crate) fn code(secret: &str, steps: i64) -> Result<String> {
    code_of(secret, steps, &["--totp"])
}

/// The same with other parameters.
pub(crate) fn code_of(secret: &str, steps: i64, parameters: &[&str]) -> Result<String> {
    let at = SystemClock.now().seconds() + 30 * steps;
    let output = std::process::Command::new("oathtool")
        .args(parameters)
        .args(["--base32", "--now", &format!("@{at}"), &secret.replace(' ', "")])
        .output()
        .context("oathtool")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Signs in by password and gives the page that comes then.
pub(crate) async fn password_passed(daemon: &Daemon, browser: &Browser) -> Result<Page> {
    let page = site::attempt(daemon, browser, "local", JANE, PASSWORD).await?.expect(303)?;
    browser.follow(page, |_| false).await?.expect(200)
}

/// Sets up a factor; gives its seed and the recovery codes.
pub(crate) async fn enrol(daemon: &Daemon, browser: &Browser) -> Result<(String, Vec<String>)> {
    let page = password_passed(daemon, browser).await?;
    let secret = html::text_of(&page.body, "totp-secret")?.context("no seed")?;
    let form = page.form_to("/login/enrol")?;
    let codes = browser.submit(&page, &form, &[("code", &code(&secret, 0)?)]).await?.expect(200)?;
    let recovery = html::texts_of_class(&codes.body, "recovery-code")?;
    ensure!(recovery.len() == 10, "{}", codes.describe());
    Ok((secret, recovery))
}

async fn is_signed_in(daemon: &Daemon, browser: &Browser) -> Result<bool> {
    Ok(browser.get(daemon.url("/account")).await?.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sets_up_an_app_and_signs_in_with_its_codes() -> Result<()> {
    let daemon = required().await?;
    let first = Browser::new()?;
    let (secret, recovery) = enrol(&daemon, &first).await?;
    ensure!(is_signed_in(&daemon, &first).await?, "enrolment did not sign in");
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(shown["factors"][0]["kind"] == "totp", "{shown}");

    let second = Browser::new()?;
    let page = password_passed(&daemon, &second).await?;
    ensure!(!is_signed_in(&daemon, &second).await?, "signed in by the password alone");
    let form = page.form_to("/login/factor")?;
    second.submit(&page, &form, &[("code", "000000")]).await?.expect(401)?;
    // The step that set it up is used; the next one is good, once.
    let used = code(&secret, 0)?;
    second.submit(&page, &form, &[("code", &used)]).await?.expect(401)?;
    let next = code(&secret, 1)?;
    let done = second.submit(&page, &form, &[("code", &next)]).await?.expect(303)?;
    second.follow(done, |_| false).await?.expect(200)?;
    ensure!(is_signed_in(&daemon, &second).await?);

    let third = Browser::new()?;
    let page = password_passed(&daemon, &third).await?;
    let form = page.form_to("/login/factor")?;
    third.submit(&page, &form, &[("code", &next)]).await?.expect(401).context("a replay")?;
    let typed = recovery[0].to_uppercase().replace('-', " ");
    third.submit(&page, &form, &[("code", &typed)]).await?.expect(303)?;
    let fourth = Browser::new()?;
    let page = password_passed(&daemon, &fourth).await?;
    let form = page.form_to("/login/factor")?;
    fourth.submit(&page, &form, &[("code", &recovery[0])]).await?.expect(401)?;

    let log = daemon.log().join("\n");
    for secret in [secret.replace(' ', ""), next, recovery[0].clone()] {
        ensure!(!log.contains(&secret), "the log holds a secret");
    }
    daemon.cli(&["user", "reset-mfa", JANE]).await?.success()?;
    let page = password_passed(&daemon, &Browser::new()?).await?;
    page.form_to("/login/enrol").context("after a reset")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_reaches_a_session_without_the_factor() -> Result<()> {
    let daemon = required().await?;
    enrol(&daemon, &Browser::new()?).await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    let authorization = party.authorize(SCOPE);
    let page = browser.open(&authorization.url).await?.expect(200)?;
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?.expect(303)?;
    let next = page.location()?;
    let factor = browser.follow(page, |_| false).await?.expect(200)?;
    factor.form_to("/login/factor")?;
    // The finish, the client's address, the account page, a second authorization.
    for url in [next.as_str(), &daemon.url("/login/continue"), &daemon.url("/account")] {
        let page = browser.get(url).await?;
        ensure!(!page.body.contains("jane@example.org"), "{}", page.describe());
        let to_client = page.headers.get("location").and_then(|to| to.to_str().ok());
        ensure!(!to_client.is_some_and(|to| to.contains("code=")), "{}", page.describe());
    }
    let again = browser.get(&party.authorize(SCOPE).url).await?;
    ensure!(again.status == 200, "{}", again.describe());
    // The factor's form does not take the first step's token, nor another login's.
    let csrf = |page: &Page, path: &str| -> Result<String> {
        Ok(page.form_to(path)?.field("csrf").context("csrf")?.value.clone())
    };
    let other = browser.open(daemon.url("/login/local")).await?.expect(200)?;
    for token in [csrf(&other, "/login/local")?] {
        let fields = [("csrf", token.as_str()), ("code", "123456")];
        browser.post(daemon.url("/login/factor"), &fields).await?.expect(403)?;
        browser.post(daemon.url("/login/enrol"), &fields).await?.expect(403)?;
    }
    let token = csrf(&factor, "/login/factor")?;
    let fields = [("csrf", token.as_str()), ("username", JANE), ("password", PASSWORD)];
    browser.post(daemon.url("/login/local"), &fields).await?.expect(403)?;
    ensure!(!is_signed_in(&daemon, &browser).await?);
    ensure!(site::events(&daemon, "login.accepted").await?.len() == 1, "only the enrolment");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_guessed_a_few_times_only_and_a_new_login_changes_nothing() -> Result<()> {
    let daemon = required().await?;
    let (secret, _) = enrol(&daemon, &Browser::new()?).await?;
    for round in 0..6 {
        let browser = Browser::new()?;
        let page = password_passed(&daemon, &browser).await?;
        let form = page.form_to("/login/factor")?;
        let guess = format!("00000{round}");
        browser.submit(&page, &form, &[("code", &guess)]).await?.expect(401)?;
    }
    let browser = Browser::new()?;
    let page = password_passed(&daemon, &browser).await?;
    let form = page.form_to("/login/factor")?;
    browser.submit(&page, &form, &[("code", &code(&secret, 1)?)]).await?.expect(401)?;
    let throttled = site::events(&daemon, "login.refused").await?;
    ensure!(throttled.iter().any(|event| event["reason"] == "throttled"), "{throttled:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_code_in_parallel_passes_once() -> Result<()> {
    let daemon = required().await?;
    let (secret, _) = enrol(&daemon, &Browser::new()?).await?;
    let mut forms = Vec::new();
    for _ in 0..4 {
        let browser = Browser::new()?;
        let page = password_passed(&daemon, &browser).await?;
        forms.push((browser, page));
    }
    let code = code(&secret, 1)?;
    let mut posts = tokio::task::JoinSet::new();
    for (browser, page) in forms {
        let code = code.clone();
        posts.spawn(async move {
            let form = page.form_to("/login/factor")?;
            let answer = browser.submit(&page, &form, &[("code", &code)]).await?;
            anyhow::Ok(answer.status == 303)
        });
    }
    let mut passed = 0;
    while let Some(result) = posts.join_next().await {
        passed += usize::from(result??);
    }
    ensure!(passed == 1, "one code passed {passed} logins");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_a_login_that_the_old_one_began() -> Result<()> {
    let daemon = required().await?;
    let (secret, _) = enrol(&daemon, &Browser::new()?).await?;
    let thief = Browser::new()?;
    let page = password_passed(&daemon, &thief).await?;
    let new = "eighteen loud otters";
    let arguments = ["user", "set-password", JANE, "--password-stdin"];
    daemon.cli_with_input(&arguments, new).await?.success()?;
    let form = page.form_to("/login/factor")?;
    let answer = thief.submit(&page, &form, &[("code", &code(&secret, 1)?)]).await?;
    ensure!(answer.status.is_client_error(), "{}", answer.describe());
    ensure!(!is_signed_in(&daemon, &thief).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_two_factors_gets_them() -> Result<()> {
    let daemon = site::start(site::daemon().set("mfa.policy", "optional")).await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    site::sign_in(&party, &browser).await?;
    let authorization = party.authorize(SCOPE);
    let url = format!("{}&acr_values=urn%3Aauth%3Aaal2", authorization.url);
    let page = browser.open(&url).await?.expect(200)?;
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?.expect(303)?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    let secret = html::text_of(&page.body, "totp-secret")?.context("no seed")?;
    let form = page.form_to("/login/enrol")?;
    let codes = browser.submit(&page, &form, &[("code", &code(&secret, 0)?)]).await?.expect(200)?;
    let next = html::links(&codes.body)?
        .into_iter()
        .find(|link| link.starts_with("/login/continue"))
        .context("no way on")?;
    let page = browser.get(daemon.url(&next)).await?;
    let page = browser.follow(page, |url| party.is_redirect_uri(url)).await?;
    let code = party.code(&authorization, &page.location()?)?;
    let tokens = party.exchange(&authorization, &code).await?;
    let claims =
        party.verify(tokens.id_token.as_deref().context("ID token")?, &authorization.nonce)?;
    ensure!(claims.auth_context_ref().is_some_and(|acr| acr.as_str() == "urn:auth:aal2"));
    let methods: Vec<String> = claims
        .auth_method_refs()
        .map(|refs| refs.iter().map(|method| method.as_str().to_owned()).collect())
        .unwrap_or_default();
    ensure!(
        methods.contains(&"otp".to_owned()) && methods.contains(&"pwd".to_owned()),
        "{methods:?}"
    );
    // An enrolled person is asked from now on, although the policy is optional.
    let page = password_passed(&daemon, &Browser::new()?).await?;
    page.form_to("/login/factor")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hashes_and_lengths_are_understood() -> Result<()> {
    for (algorithm, option) in [("SHA256", "--totp=sha256"), ("SHA512", "--totp=sha512")] {
        let builder = site::daemon()
            .set("mfa.policy", "required")
            .set("mfa.totp.algorithm", algorithm)
            .set("mfa.totp.digits", 8);
        let daemon = site::start(builder).await?;
        let browser = Browser::new()?;
        let page = password_passed(&daemon, &browser).await?;
        let secret = html::text_of(&page.body, "totp-secret")?.context("no seed")?;
        let form = page.form_to("/login/enrol")?;
        let right = code_of(&secret, 0, &[option, "--digits=8"])?;
        let six = &right[2..];
        browser.submit(&page, &form, &[("code", six)]).await?.expect(401)?;
        browser.submit(&page, &form, &[("code", &right)]).await?.expect(200)?;
        let browser = Browser::new()?;
        let page = password_passed(&daemon, &browser).await?;
        let form = page.form_to("/login/factor")?;
        let next = code_of(&secret, 1, &[option, "--digits=8"])?;
        browser.submit(&page, &form, &[("code", &next)]).await?.expect(303)?;
    }
    Ok(())
}

/// Two daemons on one database, with one key ring and one client.
async fn two_nodes(server: &PostgresServer) -> Result<(Daemon, Daemon)> {
    let database = server.url(&server.create_database()?);
    let first = required_on(&database, None).await?;
    let ring = first.folder().join("auth-daemon.keys");
    let second = required_on(&database, Some(&ring.display().to_string())).await?;
    Ok((first, second))
}

async fn required_on(database: &str, ring: Option<&str>) -> Result<Daemon> {
    let builder = site::daemon().set("mfa.policy", "required").set("storage.url", database);
    match ring {
        None => site::start(builder).await,
        Some(ring) => builder.set("keys.ring_file", ring).start().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_posts_of_one_code_on_two_nodes_one_passes() -> Result<()> {
    const POSTS: usize = 100;
    let server = PostgresServer::start()?;
    let (one, two) = two_nodes(&server).await?;
    let (secret, _) = enrol(&one, &Browser::new()?).await?;
    // Many tabs of one browser at each node: an idle connection of a browser of its own would be
    // closed before its turn comes.
    let browsers = [Browser::new()?, Browser::new()?];
    let mut forms = Vec::new();
    for turn in 0..POSTS {
        let (daemon, browser) =
            if turn % 2 == 0 { (&one, &browsers[0]) } else { (&two, &browsers[1]) };
        forms.push((browser.clone(), password_passed(daemon, browser).await?));
    }
    let code = code(&secret, 1)?;
    let mut posts = tokio::task::JoinSet::new();
    for (browser, page) in forms {
        let code = code.clone();
        posts.spawn(async move {
            let form = page.form_to("/login/factor")?;
            let answer = browser.submit(&page, &form, &[("code", &code)]).await?;
            ensure!(matches!(answer.status.as_u16(), 303 | 401), "{}", answer.describe());
            anyhow::Ok(answer.status == 303)
        });
    }
    let mut passed = 0;
    while let Some(result) = posts.join_next().await {
        passed += usize::from(result??);
    }
    ensure!(passed == 1, "one code passed {passed} of {POSTS} logins");
    let accepted = site::events(&one, "login.accepted").await?;
    ensure!(accepted.len() == 2, "the enrolment and one login: {}", accepted.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_are_counted_across_logins_nodes_and_restarts() -> Result<()> {
    let server = PostgresServer::start()?;
    let (mut one, two) = two_nodes(&server).await?;
    let (secret, _) = enrol(&one, &Browser::new()?).await?;
    let answer = async |daemon: &Daemon, code: &str| -> Result<u16> {
        let browser = Browser::new()?;
        let page = password_passed(daemon, &browser).await?;
        let form = page.form_to("/login/factor")?;
        Ok(browser.submit(&page, &form, &[("code", code)]).await?.status.as_u16())
    };
    // Three on one node, two on the other, each in a login of its own.
    for (turn, guess) in ["000001", "000002", "000003", "000004", "000005"].iter().enumerate() {
        let daemon = if turn % 2 == 0 { &one } else { &two };
        ensure!(answer(daemon, guess).await? == 401);
    }
    let right = code(&secret, 1)?;
    ensure!(answer(&two, &right).await? == 401, "the other node does not know the count");
    one.restart().await?;
    ensure!(answer(&one, &right).await? == 401, "a restart forgot the count");
    let refused = site::events(&one, "login.refused").await?;
    let throttled = refused.iter().filter(|event| event["reason"] == "throttled").count();
    ensure!(throttled == 2, "{refused:?}");
    // An administrator's reset opens the door.
    one.cli(&["user", "reset-mfa", JANE]).await?.success()?;
    enrol(&two, &Browser::new()?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_one_factor_is_no_session_of_two() -> Result<()> {
    let rule = "[[mfa.rule]]\nclient = \"chat\"\npolicy = \"required\"";
    let daemon = site::start(site::daemon().set("mfa.policy", "off").toml(rule)).await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    let page = password_passed(&daemon, &browser).await?;
    ensure!(page.url.path() == "/account", "{}", page.describe());
    // The session is good at the broker, and nothing at the client that the rule guards; asking
    // for less by acr_values, or for nothing, changes that in no way.
    for more in ["", "&acr_values=urn%3Aauth%3Aaal1", "&max_age=9999"] {
        let url = format!("{}{more}", party.authorize(SCOPE).url);
        let page = browser.open(&url).await?.expect(200)?;
        page.form_to("/login/local").with_context(|| format!("{more:?}"))?;
    }
    // The login that this began needs the factor, whatever session is there.
    let page = browser.open(&party.authorize(SCOPE).url).await?.expect(200)?;
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?.expect(303)?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    page.form_to("/login/enrol")?;
    // An old login's form does not end a new one: handle and code of two logins do not mix.
    let other = browser.open(party.authorize(SCOPE).url).await?.expect(200)?;
    let token = |page: &Page, path: &str| -> Result<String> {
        Ok(page.form_to(path)?.field("csrf").context("csrf")?.value.clone())
    };
    let (enrol, fresh) = (token(&page, "/login/enrol")?, token(&other, "/login/local")?);
    let (one, two) = (enrol.split_once('.').context("."), fresh.split_once('.').context("."));
    let (one, two) = (one?, two?);
    for swapped in [format!("{}.{}", one.0, two.1), format!("{}.{}", two.0, one.1)] {
        for path in ["/login/factor", "/login/enrol", "/login/local"] {
            let fields = [
                ("csrf", swapped.as_str()),
                ("code", "000000"),
                ("username", JANE),
                ("password", PASSWORD),
            ];
            browser.post(daemon.url(path), &fields).await?.expect(403)?;
        }
    }
    Ok(())
}
