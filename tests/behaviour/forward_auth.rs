//! Forward authentication through a real nginx: who comes through, what the site behind is told,
//! and what no request can make up.
//!
//! Cookies go by host and not by port, so that every site here has a loopback address of its own.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::daemon::{Builder, Daemon};
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::nginx::{Nginx, Site};
use auth_tests::harness::port;
use reqwest::{Method, Url};

use crate::site::{self, JANE, PASSWORD};

const WIKI: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ADMIN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A daemon, nginx with two protected hosts, and the site behind them.
struct World {
    daemon: Daemon,
    site: Site,
    _nginx: Nginx,
    wiki: String,
    admin: String,
}

/// The configuration of docs/forward-auth.md. `careless` leaves out that a client's own headers of
/// the other convention are taken away.
fn server(daemon: &str, site: &Site, at: (Ipv4Addr, u16), careless: bool) -> String {
    let (address, port) = at;
    let taken_away = match careless {
        true => "",
        false => {
            "proxy_set_header X-Forwarded-Proto \"\";\nproxy_set_header X-Forwarded-Host \"\";\n\
             proxy_set_header X-Forwarded-Uri \"\";"
        }
    };
    format!(
        "server {{
    listen {address}:{port};
    location = /.auth/verify {{
        internal;
        proxy_pass {daemon}/forward-auth;
        proxy_pass_request_body off;
        proxy_set_header Content-Length \"\";
        proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
        proxy_set_header X-Forwarded-For $remote_addr;
        {taken_away}
    }}
    location = /.auth/callback {{
        proxy_pass {daemon};
        proxy_redirect off;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-For $remote_addr;
    }}
    location / {{
        auth_request /.auth/verify;
        auth_request_set $auth_login $upstream_http_x_login_url;
        auth_request_set $auth_user $upstream_http_remote_user;
        auth_request_set $auth_email $upstream_http_remote_email;
        auth_request_set $auth_name $upstream_http_remote_name;
        auth_request_set $auth_groups $upstream_http_remote_groups;
        error_page 401 = @login;
        proxy_set_header Remote-User $auth_user;
        proxy_set_header Remote-Email $auth_email;
        proxy_set_header Remote-Name $auth_name;
        proxy_set_header Remote-Groups $auth_groups;
        proxy_pass http://127.0.0.1:{};
    }}
    location @login {{
        return 302 $auth_login;
    }}
}}\n",
        site.port
    )
}

impl World {
    async fn start(careless: bool) -> Result<Self> {
        Self::with(site::daemon().set("listen.trusted_proxies", vec!["127.0.0.1"]), careless).await
    }

    async fn with(builder: Builder, careless: bool) -> Result<Self> {
        let site = Site::start().await?;
        let (wiki, admin) = ((WIKI, port::free()?), (ADMIN, port::free()?));
        let builder = builder
            .toml(&format!(
                "[[client]]\nid = \"wiki\"\nkind = \"forward-auth\"\nhosts = [\"{}:{}\"]\n",
                wiki.0, wiki.1
            ))
            .toml(&format!(
                "[[client]]\nid = \"admin\"\nkind = \"forward-auth\"\nhosts = [\"{}:{}\"]\n\
                 allowed_groups = [\"admins\"]\n",
                admin.0, admin.1
            ));
        let daemon = site::start(builder).await?;
        let http = [wiki, admin].map(|at| server(daemon.issuer(), &site, at, careless)).concat();
        let nginx = Nginx::start(&http, &[wiki, admin]).await?;
        let url = |(address, port): (Ipv4Addr, u16)| format!("http://{address}:{port}");
        Ok(Self { daemon, site, _nginx: nginx, wiki: url(wiki), admin: url(admin) })
    }

    /// Opens a page of the wiki, signs in on the way, and gives the page.
    async fn sign_in(&self, browser: &Browser, path: &str) -> Result<Page> {
        let form = browser.open(format!("{}{path}", self.wiki)).await?.expect(200)?;
        let page = browser.sign_in(&form, "local", JANE, PASSWORD).await?;
        browser.follow(page, |_| false).await?.expect(200)
    }

    async fn get(&self, browser: &Browser, url: &str, headers: &[(&str, &str)]) -> Result<Page> {
        let mut request = browser.request(Method::GET, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        browser.send(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_on_the_way_and_the_site_is_told_who_it_is() -> Result<()> {
    let world = World::start(false).await?;
    let browser = Browser::new()?;
    let page = world.get(&browser, &format!("{}/a/b?c=d", world.wiki), &[]).await?.expect(302)?;
    let login = page.location()?;
    ensure!(login.as_str().starts_with(&world.daemon.url("/forward-auth/login?url=")), "{login}");
    ensure!(world.site.requests() == 0, "the site was reached without a session");
    let page = world.sign_in(&browser, "/a/b?c=d").await?;
    ensure!(page.url.as_str() == format!("{}/a/b?c=d", world.wiki), "{}", page.url);
    let told = page.json()?;
    ensure!(told["remote-user"] == JANE && told["remote-email"] == "jane@example.org", "{told}");
    ensure!(told.get("remote-groups").is_none_or(|groups| groups == ""), "{told}");
    // The cookie is of this host alone and keeps its secret from scripts.
    let own: Url = world.wiki.parse()?;
    let secret = browser.cookie(&own, "auth_forward").context("no cookie")?;
    ensure!(browser.cookie(&world.admin.parse()?, "auth_forward").is_none());
    ensure!(browser.cookie(&world.daemon.url("/").parse()?, "auth_forward").is_none());
    ensure!(world.daemon.log().iter().all(|line| !line.contains(&secret)));
    // The second page needs no redirect.
    world.get(&browser, &format!("{}/next", world.wiki), &[]).await?.expect(200)?;
    let list = world.daemon.cli(&["session", "list", "--json"]).await?.success()?.json()?;
    ensure!(list.to_string().contains("\"wiki\""), "{list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_and_revocation_end_it_at_the_next_request() -> Result<()> {
    let world = World::start(false).await?;
    let browser = Browser::new()?;
    world.sign_in(&browser, "/").await?;
    let page = browser.get(world.daemon.url("/logout")).await?.expect(200)?;
    browser.submit(&page, &page.form_to("/logout")?, &[]).await?.expect(200)?;
    world.get(&browser, &world.wiki, &[]).await?.expect(302)?;
    world.sign_in(&browser, "/").await?;
    world.daemon.cli(&["session", "revoke", "--user", JANE]).await?.success()?;
    world.get(&browser, &world.wiki, &[]).await?.expect(302)?;
    world.sign_in(&browser, "/").await?;
    world.daemon.cli(&["user", "disable", JANE]).await?.success()?;
    let before = world.site.requests();
    world.get(&browser, &world.wiki, &[]).await?.expect(302)?;
    ensure!(world.site.requests() == before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_sends_makes_somebody_up() -> Result<()> {
    let world = World::start(false).await?;
    let stranger = Browser::new()?;
    let made_up: &[(&str, &str)] = &[
        ("remote-user", "root"),
        ("remote-email", "root@example.org"),
        ("remote-groups", "admins"),
        ("remote-name", "Root"),
    ];
    world.get(&stranger, &world.wiki, made_up).await?.expect(302)?;
    for headers in [
        &[("user-agent", "kube-probe/1.0")][..],
        &[("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1")],
        &[("x-forwarded-host", "public.example.org"), ("x-forwarded-uri", "/healthz")],
        &[("x-original-url", "http://127.0.0.2/healthz")],
        &[("authorization", "Bearer x")],
        &[("cookie", "auth_forward=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
    ] {
        let page = world.get(&stranger, &world.wiki, headers).await?;
        ensure!(page.status == 302 || page.status == 403, "{headers:?}: {}", page.describe());
    }
    for path in
        ["/?redirect=true", "/healthz", "/.auth/verify", "/%2eauth/callback", "//x", "/.auth/other"]
    {
        let page = world.get(&stranger, &format!("{}{path}", world.wiki), &[]).await?;
        ensure!(page.status != 200, "{path}: {}", page.describe());
    }
    ensure!(world.site.requests() == 0, "the site was reached without a session");
    // Signed in, the headers are the daemon's, also those that are empty.
    let browser = Browser::new()?;
    world.sign_in(&browser, "/").await?;
    let told = world.get(&browser, &world.wiki, made_up).await?.expect(200)?.json()?;
    ensure!(told["remote-user"] == JANE && told["remote-email"] == "jane@example.org", "{told}");
    for name in ["remote-groups", "remote-name"] {
        ensure!(told.get(name).is_none_or(|value| value == ""), "{name}: {told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hosts_session_opens_no_other_clients_host() -> Result<()> {
    for careless in [false, true] {
        let world = World::start(careless).await?;
        let browser = Browser::new()?;
        world.sign_in(&browser, "/").await?;
        let token = browser.cookie(&world.wiki.parse()?, "auth_forward").context("cookie")?;
        let cookie = format!("auth_forward={token}");
        let thief = Browser::new()?;
        let before = world.site.requests();
        world.get(&thief, &world.admin, &[("cookie", &cookie)]).await?.expect(302)?;
        // Nor by naming the host that the session is good for.
        let wiki: Url = world.wiki.parse()?;
        let authority =
            format!("{}:{}", wiki.host_str().context("host")?, wiki.port().unwrap_or(80));
        for headers in [
            &[("x-original-url", world.wiki.as_str())][..],
            &[("x-forwarded-host", &authority)],
            &[
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", &authority),
                ("x-forwarded-uri", "/"),
            ],
        ] {
            let mut headers = headers.to_vec();
            headers.push(("cookie", &cookie));
            let page = world.get(&thief, &world.admin, &headers).await?;
            ensure!(page.status == 302 || page.status == 403, "{}", page.describe());
        }
        ensure!(world.site.requests() == before, "the admin site was reached");
        // A person who is in none of the groups is refused by the client, not asked again and again.
        let page = browser.open(&world.admin).await?;
        ensure!(page.status == 403, "{}", page.describe());
        ensure!(world.site.requests() == before, "the admin site was reached");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_peer_that_is_not_listed_count_for_nothing() -> Result<()> {
    // Nobody is listed by default.
    let world = World::with(site::daemon(), false).await?;
    let browser = Browser::new()?;
    let page = world.get(&browser, &world.wiki, &[]).await?;
    ensure!(page.status != 200 && world.site.requests() == 0, "{}", page.describe());
    let asked = world
        .get(
            &browser,
            &world.daemon.url("/forward-auth"),
            &[("x-original-url", &format!("{}/", world.wiki))],
        )
        .await?
        .expect(401)?;
    ensure!(asked.headers.get("location").is_none(), "{}", asked.describe());
    let warned = world.daemon.log().iter().any(|line| line.contains("listen.trusted_proxies"));
    ensure!(warned, "the log does not say what is to be done");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_only_sent_to_listed_hosts_and_back_to_where_it_began() -> Result<()> {
    let world = World::start(false).await?;
    let login = |url: &str| {
        let mut login = Url::parse(&world.daemon.url("/forward-auth/login")).expect("a URL");
        login.query_pairs_mut().append_pair("url", url);
        login
    };
    for url in [
        "https://evil.example/",
        "http://evil.example/",
        "//127.0.0.2/",
        "javascript:alert(1)",
        &format!("{}@evil.example/", world.wiki),
        "",
    ] {
        let page = Browser::new()?.get(login(url)).await?.expect(400)?;
        ensure!(page.headers.get("location").is_none(), "{url}: {}", page.describe());
    }
    let twice = format!("{}&url=https://evil.example/", login(&format!("{}/", world.wiki)));
    Browser::new()?.get(twice).await?.expect(400)?;
    // The way back never leaves the host.
    for back in ["//evil.example/", "https://evil.example/", "/\\evil.example", "x"] {
        let browser = Browser::new()?;
        let mut start = Url::parse(&format!("{}/.auth/callback", world.wiki))?;
        start.query_pairs_mut().append_pair("return", back);
        let form = browser.open(start).await?.expect(200)?;
        let page = browser.sign_in(&form, "local", JANE, PASSWORD).await?;
        let page = browser.follow(page, |_| false).await?.expect(200)?;
        ensure!(page.url.as_str() == format!("{}/", world.wiki), "{back}: {}", page.url);
    }
    // On a host that nobody listed there is no callback.
    Browser::new()?.get(world.daemon.url("/.auth/callback?return=%2F")).await?.expect(404)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_another_browser_signs_nobody_in() -> Result<()> {
    let world = World::start(false).await?;
    let attacker = Browser::new()?;
    let form = attacker.open(&world.wiki).await?.expect(200)?;
    let page = attacker.sign_in(&form, "local", JANE, PASSWORD).await?;
    let is_callback = |url: &Url| {
        url.path() == "/.auth/callback" && url.query().is_some_and(|q| q.contains("code="))
    };
    let page = attacker.follow(page, is_callback).await?;
    let answer = page.location()?;
    ensure!(is_callback(&answer), "{answer}");
    // A browser without, and one with a secret of its own.
    let victim = Browser::new()?;
    victim.get(&answer).await?.expect(400)?;
    let begun = Browser::new()?;
    begun.get(format!("{}/.auth/callback?return=%2F", world.wiki)).await?.expect(303)?;
    begun.get(&answer).await?.expect(403)?;
    for browser in [&victim, &begun] {
        ensure!(browser.cookie(&world.wiki.parse()?, "auth_forward").is_none());
        world.get(browser, &world.wiki, &[]).await?.expect(302)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_other_convention_is_answered_too() -> Result<()> {
    // Traefik and Caddy hand the answer on, so that they ask for a redirect.
    let world = World::start(false).await?;
    let browser = Browser::new()?;
    world.sign_in(&browser, "/").await?;
    let token = browser.cookie(&world.wiki.parse()?, "auth_forward").context("cookie")?;
    let authority = world.wiki.trim_start_matches("http://").to_owned();
    let headers = |cookie: bool| {
        let mut headers = vec![
            ("x-forwarded-proto", "http".to_owned()),
            ("x-forwarded-host", authority.clone()),
            ("x-forwarded-uri", "/page".to_owned()),
            ("x-forwarded-method", "GET".to_owned()),
        ];
        if cookie {
            headers.push(("cookie", format!("auth_forward={token}")));
        }
        headers
    };
    let proxy = Browser::new()?;
    let ask = |path: &'static str, cookie: bool| {
        let headers = headers(cookie);
        let (world, proxy) = (&world, &proxy);
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            world.get(proxy, &world.daemon.url(path), &headers).await
        }
    };
    let page = ask("/forward-auth", true).await?.expect(200)?;
    ensure!(page.header("remote-user") == JANE, "{}", page.describe());
    for name in ["remote-user", "remote-email", "remote-name", "remote-groups"] {
        ensure!(page.headers.get(name).is_some(), "{name} is not there");
    }
    let page = ask("/forward-auth", false).await?.expect(401)?;
    ensure!(page.location()?.path() == "/forward-auth/login");
    ensure!(page.header("x-login-url") == page.header("location"), "{}", page.describe());
    let page = ask("/forward-auth?redirect=true", false).await?.expect(303)?;
    ensure!(page.location()?.path() == "/forward-auth/login");
    ask("/forward-auth?redirect=true", true).await?.expect(200)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_is_led_there_and_back() -> Result<()> {
    // Three sites with redirects between them after a form's post: `form-action` and the cookies'
    // SameSite are judged by the browser.
    let world = World::start(false).await?;
    let chromium = Chromium::start().await?;
    chromium.client.goto(&format!("{}/page?x=1", world.wiki)).await?;
    chromium.type_into("username", JANE).await?;
    chromium.type_into("password", PASSWORD).await?;
    chromium.wait_for_css("form button").await?.click().await?;
    let url = chromium.wait_for_url(|url| url.path() == "/page").await?;
    ensure!(url.as_str() == format!("{}/page?x=1", world.wiki), "{url}");
    let told = chromium.wait_for_css("body").await?.text().await?;
    ensure!(told.contains("\"remote-user\":\"jane\""), "{told}");
    Ok(())
}
