//! The OpenID provider as a chat server sees it, and as an attacker tries it.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::oidc::{Authorization, RelyingParty};
use auth_tests::harness::postgres::PostgresServer;
use auth_tests::harness::slapd::Slapd;
use reqwest::Url;

use crate::site::{self, CLIENT, JANE, PASSWORD, REDIRECT, SCOPE, SECRET};

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_server_checks_refreshes_and_loses_a_session() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let (authorization, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    let id_token = tokens.id_token.as_deref().context("no ID token")?;
    let claims = party.verify(id_token, &authorization.nonce)?;
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(shown["id"] == claims.subject().as_str(), "{shown}");
    ensure!(claims.auth_context_ref().is_some_and(|acr| acr.as_str() == "urn:auth:aal1"));
    ensure!(claims.auth_time().is_some(), "no auth_time");

    let userinfo = party.userinfo(&tokens.access_token).await?.expect(200)?.json()?;
    ensure!(userinfo["sub"] == shown["id"] && userinfo["email"] == "jane@example.org");
    ensure!(userinfo["preferred_username"] == JANE && userinfo["email_verified"] == true);

    let active = party.introspect(&tokens.access_token).await?;
    ensure!(active["active"] == true && active["client_id"] == CLIENT, "{active}");
    ensure!(active["username"] == JANE && active["sub"] == shown["id"], "{active}");

    let refreshed = party.refresh(site::refresh_token(&tokens)?).await?;
    ensure!(refreshed.refresh_token != tokens.refresh_token, "the refresh token did not rotate");
    ensure!(party.introspect(&refreshed.access_token).await?["active"] == true);

    party.revoke(site::refresh_token(&refreshed)?).await?;
    for token in [&tokens.access_token, &refreshed.access_token] {
        ensure!(party.introspect(token).await? == serde_json::json!({ "active": false }));
        party.userinfo(token).await?.expect(401)?;
    }
    ensure!(party.refresh(site::refresh_token(&refreshed)?).await.is_err());
    ensure!(!site::events(&daemon, "session.issued").await?.is_empty());
    ensure!(!site::events(&daemon, "session.revoked").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_person_reaches_the_chat_server_with_groups_and_roles() -> Result<()> {
    let slapd = Slapd::start()?;
    let daemon = site::daemon().directory("corp", &slapd).start().await?;
    let party = site::relying_party(&daemon).await?;
    let authorization = party.authorize(SCOPE);
    let browser = Browser::new()?;
    let code = party.sign_in(&browser, &authorization, "corp", "alice", "secret-alice").await?;
    let tokens = party.exchange(&authorization, &code).await?;
    let userinfo = party.userinfo(&tokens.access_token).await?.expect(200)?.json()?;
    ensure!(userinfo["preferred_username"] == "alice", "{userinfo}");
    ensure!(userinfo["email"] == "alice@example.org", "{userinfo}");
    let groups = userinfo["groups"].to_string();
    ensure!(groups.contains("staff"), "{userinfo}");
    // A second login is the same person.
    let other = Browser::new()?;
    let authorization = party.authorize(SCOPE);
    let code = party.sign_in(&other, &authorization, "corp", "alice", "secret-alice").await?;
    let again = party.exchange(&authorization, &code).await?;
    let again = party.userinfo(&again.access_token).await?.expect(200)?.json()?;
    ensure!(again["sub"] == userinfo["sub"], "{again} {userinfo}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_algorithms_sign_and_are_published() -> Result<()> {
    let builder = site::daemon().toml(&format!(
        "[[client]]\nid = \"edward\"\nkind = \"oidc\"\nsecret = \"{SECRET}\"\nredirect_uris = \
         [\"{REDIRECT}\"]\nid_token_signed_response_alg = \"EdDSA\"\n"
    ));
    let daemon = site::start(builder).await?;
    for (client, algorithm) in [(CLIENT, "RS256"), ("edward", "EdDSA")] {
        let party = RelyingParty::discover(daemon.issuer(), client, Some(SECRET), REDIRECT).await?;
        let (authorization, tokens) = site::sign_in(&party, &Browser::new()?).await?;
        let token = tokens.id_token.context("no ID token")?;
        party.verify_with_access_token(&token, &authorization.nonce, &tokens.access_token)?;
        let header = token.split('.').next().context("header")?;
        use base64::Engine as _;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header)?;
        let header: serde_json::Value = serde_json::from_slice(&header)?;
        ensure!(header["alg"] == algorithm, "{client}: {header}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_works_once_and_a_replay_ends_the_session() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let authorization = party.authorize(SCOPE);
    let code = party.sign_in(&Browser::new()?, &authorization, "local", JANE, PASSWORD).await?;
    let tokens = party.exchange(&authorization, &code).await?;
    ensure!(party.exchange(&authorization, &code).await.is_err(), "the code worked twice");
    ensure!(party.introspect(&tokens.access_token).await?["active"] == false);
    ensure!(party.refresh(site::refresh_token(&tokens)?).await.is_err());
    ensure!(site::events(&daemon, "code.replayed").await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_code_in_parallel_gives_one_session() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let authorization = party.authorize(SCOPE);
    let code = party.sign_in(&Browser::new()?, &authorization, "local", JANE, PASSWORD).await?;
    let mut exchanges = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (party, authorization, code) = (party.clone(), authorization.clone(), code.clone());
        exchanges.spawn(async move { party.exchange(&authorization, &code).await.is_ok() });
    }
    let mut passed = 0;
    while let Some(result) = exchanges.join_next().await {
        passed += usize::from(result?);
    }
    ensure!(passed == 1, "{passed} exchanges of one code passed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_refresh_answer_signs_nobody_out_and_a_late_reuse_does() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let (_, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    let first = site::refresh_token(&tokens)?;
    party.refresh(first).await?;
    let retried = party.refresh(first).await.context("a lost answer")?;
    ensure!(site::events(&daemon, "token.refresh_sibling").await?.len() == 1);
    let next = party.refresh(site::refresh_token(&retried)?).await?;
    ensure!(party.refresh(first).await.is_err(), "reuse after the successor was used");
    ensure!(party.introspect(&next.access_token).await?["active"] == false, "the family lives");
    ensure!(party.refresh(site::refresh_token(&next)?).await.is_err());
    ensure!(site::events(&daemon, "token.refresh_reused").await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_refreshes_sign_nobody_out() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let (_, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    let token = site::refresh_token(&tokens)?.to_owned();
    let mut refreshes = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (party, token) = (party.clone(), token.clone());
        refreshes.spawn(async move { party.refresh(&token).await });
    }
    while let Some(result) = refreshes.join_next().await {
        let tokens = result??;
        ensure!(party.introspect(&tokens.access_token).await?["active"] == true);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_on_two_nodes_at_once_sign_nobody_out() -> Result<()> {
    let server = PostgresServer::start()?;
    let database = server.url(&server.create_database()?);
    let node = || site::daemon().set("storage.url", &*database);
    let one = site::start(node()).await?;
    let ring = one.folder().join("auth-daemon.keys").display().to_string();
    let two = node().set("keys.ring_file", &*ring).start().await?;
    let party = RelyingParty::discover(one.issuer(), CLIENT, Some(SECRET), REDIRECT).await?;
    let (_, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    let mut token = site::refresh_token(&tokens)?.to_owned();
    let [here, there] = [&one, &two].map(|node| Url::parse(&node.url("/oauth2/token")));
    let (here, there) = (here?, there?);
    for round in 0..5 {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
        let (left, right) = tokio::try_join!(
            party.authenticated(here.clone(), &form),
            party.authenticated(there.clone(), &form)
        )?;
        let mut next = Vec::new();
        for answer in [left, right] {
            let answer = answer.expect(200)?.json()?;
            let access = answer["access_token"].as_str().context("access_token")?;
            for node in [&one, &two] {
                let url = Url::parse(&node.url("/oauth2/introspect"))?;
                let said = party.authenticated(url, &[("token", access)]).await?.json()?;
                ensure!(said["active"] == true, "round {round}: {said}");
            }
            next.push(answer["refresh_token"].as_str().context("refresh_token")?.to_owned());
        }
        ensure!(next[0] != next[1], "siblings are two tokens");
        token = next.swap_remove(round % 2);
    }
    ensure!(site::events(&one, "token.refresh_reused").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_and_disabling_end_the_chat_servers_session() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    let (_, tokens) = site::sign_in(&party, &browser).await?;
    let page = browser.get(daemon.url("/logout")).await?.expect(200)?;
    browser.submit(&page, &page.form_to("/logout")?, &[]).await?.expect(200)?;
    ensure!(party.introspect(&tokens.access_token).await?["active"] == false, "after logout");
    ensure!(party.refresh(site::refresh_token(&tokens)?).await.is_err(), "refresh after logout");

    let (_, tokens) = site::sign_in(&party, &browser).await?;
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    ensure!(party.introspect(&tokens.access_token).await?["active"] == false, "after disabling");
    ensure!(party.refresh(site::refresh_token(&tokens)?).await.is_err(), "refresh of a disabled");
    let code = {
        let authorization = party.authorize(SCOPE);
        party.sign_in(&Browser::new()?, &authorization, "local", JANE, PASSWORD).await
    };
    ensure!(code.is_err(), "a disabled person got a code");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_spares_the_password_unless_the_client_wants_it() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    site::sign_in(&party, &browser).await?;
    let silent = |extra: &str| {
        let mut authorization = party.authorize(SCOPE);
        let url = format!("{}{extra}", authorization.url);
        authorization.url = url.parse().unwrap_or(authorization.url);
        authorization
    };
    let plain = silent("");
    let page = browser.get(&plain.url).await?;
    party.code(&plain, &page.location()?)?;
    let none = silent("&prompt=none");
    party.code(&none, &browser.get(&none.url).await?.location()?)?;
    for extra in ["&prompt=login", "&max_age=0", "&acr_values=urn%3Aauth%3Aaal2&prompt=login"] {
        let page = browser.open(&silent(extra).url).await?.expect(200)?;
        page.form_to("/login/local").with_context(|| extra.to_owned())?;
    }
    let stranger = Browser::new()?;
    let page = stranger.get(&none.url).await?;
    let answer = page.location()?;
    let error = answer.query_pairs().find(|(key, _)| key == "error").map(|(_, v)| v.to_string());
    ensure!(error.as_deref() == Some("login_required"), "{answer}");
    Ok(())
}

/// Sends an authorization request with parameters replaced or removed.
async fn authorize_with(
    daemon: &Daemon,
    changes: &[(&str, Option<&str>)],
) -> Result<(Authorization, Page)> {
    let party = site::relying_party(daemon).await?;
    let authorization = party.authorize(SCOPE);
    let mut url = authorization.url.clone();
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .into_owned()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    for (name, value) in changes {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let page = Browser::new()?.get(url).await?;
    Ok((authorization, page))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_an_address_that_is_not_registered() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let variants = [
        "http://127.0.0.1:9/callback/",
        "http://127.0.0.1:9/callback?x=1",
        "http://127.0.0.1:9/callback#f",
        "http://127.0.0.1:9/Callback",
        "http://127.0.0.1:10/callback",
        "https://127.0.0.1:9/callback",
        "http://127.0.0.1:9@evil.example/callback",
        "http://127.0.0.1:9/callback/../callback",
        "http://127.0.0.1:9/%63allback",
        "//127.0.0.1:9/callback",
        "javascript:alert(1)",
        "",
    ];
    for variant in variants {
        let (_, page) = authorize_with(&daemon, &[("redirect_uri", Some(variant))]).await?;
        ensure!(page.status == 400, "{variant:?}: {}", page.describe());
        ensure!(page.headers.get("location").is_none(), "{variant:?} redirects");
    }
    for changes in
        [&[("client_id", Some("nobody"))][..], &[("client_id", None)], &[("redirect_uri", None)]]
    {
        let (_, page) = authorize_with(&daemon, changes).await?;
        ensure!(page.status == 400, "{changes:?}: {}", page.describe());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_known_client_go_back_to_it_with_state() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    type Changes = &'static [(&'static str, Option<&'static str>)];
    let cases: [(Changes, &str); 6] = [
        (&[("response_type", Some("token"))], "unsupported_response_type"),
        (&[("code_challenge_method", Some("plain"))], "invalid_request"),
        (&[("code_challenge", Some("short"))], "invalid_request"),
        (&[("scope", Some("nothing-known"))], "invalid_scope"),
        (&[("request", Some("eyJ"))], "request_not_supported"),
        (&[("request_uri", Some("https://x.example/r"))], "request_uri_not_supported"),
    ];
    for (changes, expected) in cases {
        let (authorization, page) = authorize_with(&daemon, changes).await?;
        let answer = page.location().with_context(|| format!("{changes:?}"))?;
        let get = |name: &str| {
            answer.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        ensure!(answer.as_str().starts_with(REDIRECT), "{answer}");
        ensure!(get("error").as_deref() == Some(expected), "{changes:?}: {answer}");
        ensure!(get("state") == Some(authorization.state), "{answer}");
        ensure!(get("iss").as_deref() == Some(daemon.issuer()), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_bound_to_client_redirect_uri_and_verifier() -> Result<()> {
    let second = "http://127.0.0.1:9/other";
    let builder = site::daemon()
        .client("thief", SECRET, &[REDIRECT, second])
        .public_client("phone", &["http://127.0.0.1/back"]);
    let daemon = site::start(builder).await?;
    let party = site::relying_party(&daemon).await?;
    let thief = RelyingParty::discover(daemon.issuer(), "thief", Some(SECRET), REDIRECT).await?;
    let fresh = || async {
        let authorization = party.authorize(SCOPE);
        let code = party.sign_in(&Browser::new()?, &authorization, "local", JANE, PASSWORD).await?;
        anyhow::Ok((authorization, code))
    };
    let (authorization, code) = fresh().await?;
    ensure!(thief.exchange(&authorization, &code).await.is_err(), "another client's code");
    let form = |code: &str, uri: &str, verifier: Option<&str>| {
        let mut form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", uri.to_owned()),
        ];
        form.extend(verifier.map(|verifier| ("code_verifier", verifier.to_owned())));
        form
    };
    let wrong = "a".repeat(43);
    for (uri, verifier) in [
        (second, Some(authorization.verifier.as_str())),
        (REDIRECT, Some(wrong.as_str())),
        (REDIRECT, None),
    ] {
        let form = form(&code, uri, verifier);
        let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let page = party.token_request(&form).await?;
        ensure!(page.status == 400, "{uri} {verifier:?}: {}", page.describe());
        ensure!(page.json()?["error"] == "invalid_grant", "{}", page.describe());
    }
    let mut liar = party.clone();
    liar.client_secret = Some("wrong".into());
    let page = liar.token_request(&[("grant_type", "refresh_token"), ("refresh_token", "x")]);
    let page = page.await?.expect(401)?;
    ensure!(
        page.json()?["error"] == "invalid_client" && !page.header("www-authenticate").is_empty()
    );
    // PKCE is asked of a public client.
    let phone =
        RelyingParty::discover(daemon.issuer(), "phone", None, "http://127.0.0.1:4711/back")
            .await?;
    let mut bare = phone.authorize(SCOPE).url;
    let pairs: Vec<(String, String)> =
        bare.query_pairs().into_owned().filter(|(name, _)| !name.starts_with("code_")).collect();
    bare.query_pairs_mut().clear().extend_pairs(pairs);
    let answer = Browser::new()?.get(bare).await?.location()?;
    ensure!(
        answer.query().is_some_and(|query| query.contains("error=invalid_request")),
        "{answer}"
    );
    // And its loopback redirect URI matches any port (RFC 8252).
    let authorization = phone.authorize(SCOPE);
    let code = phone.sign_in(&Browser::new()?, &authorization, "local", JANE, PASSWORD).await?;
    phone.exchange(&authorization, &code).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_a_clients_own_and_never_in_caches_or_urls() -> Result<()> {
    let daemon = site::start(site::daemon().client("other", SECRET, &[REDIRECT])).await?;
    let party = site::relying_party(&daemon).await?;
    let other = RelyingParty::discover(daemon.issuer(), "other", Some(SECRET), REDIRECT).await?;
    let (_, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    ensure!(other.introspect(&tokens.access_token).await?["active"] == false);
    other.revoke(site::refresh_token(&tokens)?).await?;
    ensure!(party.introspect(&tokens.access_token).await?["active"] == true, "a stranger revoked");
    ensure!(other.refresh(site::refresh_token(&tokens)?).await.is_err(), "a stranger refreshed");
    let page = party.userinfo(&tokens.access_token).await?;
    ensure!(page.header("cache-control").contains("no-store"));
    let url = format!("{}?access_token={}", daemon.url("/oauth2/userinfo"), tokens.access_token);
    Browser::new()?.get(url).await?.expect(401)?;
    let log = daemon.log().join("\n");
    for secret in [&tokens.access_token, site::refresh_token(&tokens)?, SECRET] {
        ensure!(!log.contains(secret), "the log holds a secret");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_belongs_to_the_browser_that_began_it() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let (attacker, victim) = (Browser::new()?, Browser::new()?);
    // The attacker begins a login and makes the victim's browser answer it.
    let authorization = party.authorize(SCOPE);
    let page = attacker.open(&authorization.url).await?.expect(200)?;
    victim.open(daemon.url("/login")).await?.expect(200)?;
    let forged = victim.sign_in(&page, "local", JANE, PASSWORD).await?;
    ensure!(forged.status.is_client_error(), "{}", forged.describe());
    // The attacker finishes it; the victim's browser must not be carried along.
    let done = attacker.sign_in(&page, "local", JANE, PASSWORD).await?.expect(303)?;
    let next: Url = done.location()?;
    let stolen = victim.get(&next).await?;
    ensure!(stolen.status.is_client_error(), "{}", stolen.describe());
    // A form answered twice goes on, it does not sign in twice.
    let again = attacker.sign_in(&page, "local", JANE, PASSWORD).await?;
    ensure!(again.status == 303, "{}", again.describe());
    ensure!(site::events(&daemon, "login.accepted").await?.len() == 1);
    Ok(())
}
