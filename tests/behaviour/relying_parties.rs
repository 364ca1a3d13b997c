//! The provider as programs see it that nobody here wrote. Each is started by the test; what comes
//! from npm or PyPI is installed once below the build folder.

mod apache;
mod authlib;
mod openid_client;
mod synapse;

use std::path::PathBuf;

use anyhow::Result;
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::workspace;
use reqwest::Url;

use crate::site::{JANE, PASSWORD};

/// A script beside these tests.
fn script(name: &str) -> PathBuf {
    workspace().join("tests/behaviour/relying_parties").join(name)
}

/// Sends the browser to an authorization endpoint, signs in where that is asked for, and gives the
/// address that the client is called with.
async fn answer(browser: &Browser, authorize: &str, redirect: &str) -> Result<Url> {
    let is_answer = |url: &Url| url.as_str().starts_with(redirect);
    let page = browser.get(authorize).await?;
    let mut page = browser.follow(page, is_answer).await?;
    if page.status == 200 {
        page = browser.sign_in(&page, "local", JANE, PASSWORD).await?;
        page = browser.follow(page, is_answer).await?;
    }
    page.location()
}

/// Whether the browser is signed in at the daemon.
async fn is_signed_in(daemon: &Daemon, browser: &Browser) -> Result<bool> {
    Ok(browser.get(daemon.url("/account")).await?.status == 200)
}
