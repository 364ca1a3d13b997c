//! The browsers of the harness themselves, against a tiny server: without them a green page test
//! would prove nothing.

use std::net::SocketAddr;

use anyhow::Result;
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::http::Browser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html><html lang="en"><title>Tiny</title>
<meta name="viewport" content="width=device-width"><h1 id="hello">Hello</h1>
<form method="post" action="/send?a=1&amp;b=2"><input name="word"><input type="hidden" name="csrf" value="x&amp;y">
<button>Send</button></form></html>"#;

#[tokio::test]
async fn chromium_opens_a_page_fills_a_form_and_takes_a_picture() -> Result<()> {
    let address = tiny_server().await?;
    let chromium = Chromium::start().await?;
    chromium.goto(&format!("http://localhost:{}/", address.port())).await?;
    assert_eq!(chromium.wait_for_css("#hello").await?.text().await?, "Hello");

    chromium.phone().await?;
    let width = chromium.execute("return window.innerWidth", Vec::new()).await?;
    assert_eq!(width.as_i64(), Some(390));
    assert_eq!(chromium.sideways_overflow().await?, 0);
    assert!(chromium.screenshot("harness-tiny-phone").await?.is_file());

    chromium.type_into("word", "grüße").await?;
    chromium.wait_for_css("button").await?.click().await?;
    chromium.wait_for_url(|url| url.path() == "/send").await?;
    let echo = chromium.wait_for_css("#echo").await?.text().await?;
    assert_eq!(echo, "word=gr%C3%BC%C3%9Fe&csrf=x%26y");
    Ok(())
}

#[tokio::test]
async fn a_dropped_chromium_leaves_no_process_behind() -> Result<()> {
    let chromium = Chromium::start().await?;
    let version = chromium.devtools("Browser.getVersion", serde_json::json!({})).await?;
    assert!(version["product"].as_str().is_some_and(|name| name.contains("Chrome")), "{version}");
    let profile = chromium
        .capabilities()
        .and_then(|all| all.get("chrome")?.get("userDataDir")?.as_str().map(str::to_owned))
        .expect("the profile folder among the capabilities");
    let flag = format!("--user-data-dir={profile}");
    assert!(runs_with(&flag));
    drop(chromium);
    assert!(!runs_with(&flag));
    assert!(!std::path::Path::new(&profile).exists());
    Ok(())
}

#[tokio::test]
async fn the_scriptless_browser_keeps_cookies_and_follows_step_by_step() -> Result<()> {
    let address = tiny_server().await?;
    let browser = Browser::new()?;
    let page = browser.get(format!("http://localhost:{}/redirect", address.port())).await?;
    assert_eq!(page.location()?.path(), "/");
    assert_eq!(browser.cookie(&page.url, "seen").as_deref(), Some("yes"));
    let stopped = browser.follow(page.clone(), |url| url.path() == "/").await?;
    assert_eq!(stopped.status, 303);
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    assert!(page.body.contains("Hello"));
    let form = page.form_to("/send")?;
    let page = browser.submit(&page, &form, &[("word", "a b")]).await?.expect(200)?;
    assert!(page.body.contains("word=a+b&csrf=x%26y"), "{}", page.body);
    assert!(page.body.contains("cookie: seen=yes"), "{}", page.body);
    Ok(())
}

fn runs_with(flag: &str) -> bool {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries.flatten().any(|entry| {
        let command_line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        command_line.split(|byte| *byte == 0).any(|word| word == flag.as_bytes())
    })
}

/// `/` is the page, `/redirect` leads to it and sets a cookie, anything else echoes its request.
async fn tiny_server() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let request = read_request(&mut stream).await;
                let (head, body) = request.split_once("\r\n\r\n").unwrap_or_default();
                let answer = match head.split(' ').nth(1) {
                    Some("/") => html(PAGE),
                    Some("/redirect") => "HTTP/1.1 303 See Other\r\nLocation: /\r\nSet-Cookie: \
                        seen=yes; HttpOnly\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        .into(),
                    _ => html(&format!("<p id=\"echo\">{body}</p><pre>{head}</pre>")),
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Ok(address)
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| {
                rest.split("\r\n").next().unwrap_or_default().parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn html(body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
