//! A browser without scripts: it keeps cookies, follows redirects one step at a time when asked,
//! fills in forms, and sends `Origin` and `Referer` with a form as browsers do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::cookie::{CookieStore, Jar};
use reqwest::header::{HeaderMap, HeaderValue, LOCATION, ORIGIN, REFERER};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};

use super::html::{self, Form};

const REDIRECTS: usize = 20;
const LIMIT: Duration = Duration::from_secs(30);

/// One person's browser. Two of them share no cookie.
#[derive(Debug, Clone)]
pub struct Browser {
    client: Client,
    jar: Arc<Jar>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Page {
    /// The address that was asked.
    pub url: Url,
    /// Status of the answer.
    pub status: StatusCode,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Body of the answer as text.
    pub body: String,
}

impl Browser {
    /// A browser without cookies.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new() -> Result<Self> {
        Self::of(client_builder())
    }

    /// A browser without cookies whose requests come from `address`, which has to be one of this
    /// machine, such as any of 127.0.0.0/8.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn from_address(address: IpAddr) -> Result<Self> {
        Self::of(client_builder().local_address(address))
    }

    fn of(builder: reqwest::ClientBuilder) -> Result<Self> {
        let jar = Arc::new(Jar::default());
        Ok(Self { client: builder.cookie_provider(jar.clone()).build()?, jar })
    }

    /// A browser that keeps and sends cookies marked `Secure` over http as well, as real browsers
    /// do for the machine that they run on.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn taking_secure_cookies() -> Result<Self> {
        let jar = Arc::new(Jar::default());
        let lenient = Arc::new(Lenient(jar.clone()));
        Ok(Self { client: client_builder().cookie_provider(lenient).build()?, jar })
    }

    /// A request with this browser's cookies, for whatever the other methods do not offer.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        self.client.request(method, url.as_ref())
    }

    /// Sends `request` and reads the answer; no redirect is followed.
    ///
    /// # Errors
    /// No answer, or a body that is not text.
    pub async fn send(&self, request: RequestBuilder) -> Result<Page> {
        read(request).await
    }

    /// GET; no redirect is followed.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, url: impl AsRef<str>) -> Result<Page> {
        self.send(self.request(Method::GET, url)).await
    }

    /// POST of form fields, as a page of the same origin would send it.
    ///
    /// # Errors
    /// No answer.
    pub async fn post(&self, url: impl AsRef<str>, fields: &[(&str, &str)]) -> Result<Page> {
        let url = Url::parse(url.as_ref())?;
        let origin = url.origin().ascii_serialization();
        self.send(self.client.post(url).header(ORIGIN, origin).form(fields)).await
    }

    /// GET, then every redirect.
    ///
    /// # Errors
    /// No answer, or redirects without end.
    pub async fn open(&self, url: impl AsRef<str>) -> Result<Page> {
        let page = self.get(url).await?;
        self.follow(page, |_| false).await
    }

    /// Follows redirects until the answer is none, or until `stop` accepts the next address: then
    /// the redirecting answer itself comes back, and [`Page::location`] is that address.
    ///
    /// # Errors
    /// No answer, a redirect without `Location`, or redirects without end.
    pub async fn follow(&self, page: Page, stop: impl Fn(&Url) -> bool) -> Result<Page> {
        let mut page = page;
        for _ in 0..REDIRECTS {
            if !page.status.is_redirection() {
                return Ok(page);
            }
            let next = page.location()?;
            if stop(&next) {
                return Ok(page);
            }
            ensure!(
                matches!(page.status.as_u16(), 302 | 303),
                "{} answered {}: this browser follows 302 and 303 only",
                page.url,
                page.status
            );
            page = self.get(next).await?;
        }
        bail!("more than {REDIRECTS} redirects, the last from {}", page.url)
    }

    /// Fills in `form` of `page` and sends it; no redirect is followed.
    ///
    /// # Errors
    /// The form lacks one of the fields, or there is no answer.
    pub async fn submit(&self, page: &Page, form: &Form, values: &[(&str, &str)]) -> Result<Page> {
        let fields = form.filled(values)?;
        let mut target = page.url.join(&form.action).context("action of the form")?;
        let request = if form.method == "get" {
            target.query_pairs_mut().clear().extend_pairs(&fields);
            self.client.get(target)
        } else {
            self.client
                .post(target)
                .header(ORIGIN, page.url.origin().ascii_serialization())
                .form(&fields)
        };
        let mut referer = page.url.clone();
        referer.set_fragment(None);
        self.send(request.header(REFERER, referer.as_str())).await
    }

    /// On the sign-in page `page`: fills in the form of `connector` and sends it. The answer is a
    /// redirect when the password was right.
    ///
    /// # Errors
    /// The page has no form for this connector, or there is no answer.
    pub async fn sign_in(
        &self,
        page: &Page,
        connector: &str,
        username: &str,
        password: &str,
    ) -> Result<Page> {
        let form = page.form_to(&format!("/login/{connector}"))?;
        self.submit(page, &form, &[("username", username), ("password", password)]).await
    }

    /// Value of a cookie that would be sent to `url`.
    pub fn cookie(&self, url: &Url, name: &str) -> Option<String> {
        let sent = self.jar.cookies(url)?;
        let sent = sent.to_str().ok()?;
        let pairs = sent.split("; ").filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
    }

    /// Puts a cookie into this browser, in the form of a `Set-Cookie` header.
    pub fn set_cookie(&self, url: &Url, cookie: &str) {
        self.jar.add_cookie_str(cookie, url);
    }
}

impl Page {
    /// Where a redirect leads, resolved against the address of the page.
    ///
    /// # Errors
    /// The answer has no (valid) `Location`.
    pub fn location(&self) -> Result<Url> {
        let location = self
            .headers
            .get(LOCATION)
            .with_context(|| format!("{} answered {} without Location", self.url, self.status))?;
        Ok(self.url.join(location.to_str()?)?)
    }

    /// The forms of the page.
    ///
    /// # Errors
    /// The page is malformed.
    pub fn forms(&self) -> Result<Vec<Form>> {
        html::forms(&self.body).with_context(|| self.describe())
    }

    /// The one form that is sent to this path.
    ///
    /// # Errors
    /// None or several.
    pub fn form_to(&self, path: &str) -> Result<Form> {
        let goes_there =
            |form: &Form| self.url.join(&form.action).is_ok_and(|target| target.path() == path);
        let mut forms: Vec<Form> = self.forms()?.into_iter().filter(goes_there).collect();
        ensure!(forms.len() == 1, "{} forms to {path} in {}", forms.len(), self.describe());
        forms.pop().with_context(|| format!("no form to {path}"))
    }

    /// A header as text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.body).with_context(|| self.describe())
    }

    /// The page when it has this status.
    ///
    /// # Errors
    /// Another status; the message shows the page.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status.as_u16() == status, "expected {status}: {}", self.describe());
        Ok(self)
    }

    /// Address, status and body, for an error message.
    pub fn describe(&self) -> String {
        format!("{} -> {} {:?}\n{}", self.url, self.status, self.headers, self.body)
    }
}

/// A jar that takes no notice of `Secure`.
struct Lenient(Arc<Jar>);

impl CookieStore for Lenient {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        for header in headers.filter_map(|header| header.to_str().ok()) {
            let parts = header.split(';').filter(|it| !it.trim().eq_ignore_ascii_case("secure"));
            self.0.add_cookie_str(&parts.collect::<Vec<_>>().join(";"), url);
        }
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        self.0.cookies(url)
    }
}

/// A client that follows no redirect, as every test and every relying party wants it.
pub(super) fn client_builder() -> reqwest::ClientBuilder {
    // A proxy of the surroundings has no business with loopback addresses.
    Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(LIMIT).no_proxy()
}

pub(super) async fn read(request: RequestBuilder) -> Result<Page> {
    let answer = request.send().await?;
    let (url, status) = (answer.url().clone(), answer.status());
    let headers = answer.headers().clone();
    let body = String::from_utf8(answer.bytes().await?.to_vec()).context("body is not text")?;
    Ok(Page { url, status, headers, body })
}
