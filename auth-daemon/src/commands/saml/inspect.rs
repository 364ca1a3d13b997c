//! `saml inspect`: judges a captured response and shows every check. Signs nobody in, works from
//! the configuration alone.

use std::path::PathBuf;

use anyhow::Context as _;
use auth_core::clock::{Clock as _, SystemClock, Timestamp};
use auth_core::connector::saml::posted::{MAX_FORM, Posted, Unverified, document};
use auth_core::connector::saml::{
    Check, Expectation, Judgement, PendingRequest, SamlConnection, SamlRefusal, Statement,
};
use serde_json::{Map, Value, json};

use super::Chosen;
use crate::app::saml;
use crate::config::MetadataSource;
use crate::exit::Exit;
use crate::metadata_fetch::fetch;
use crate::output;

/// What the command line gave.
pub(super) struct Arguments {
    pub(super) at: Option<String>,
    pub(super) in_response_to: Option<String>,
    pub(super) response: PathBuf,
    pub(super) json: bool,
}

/// Runs `saml inspect`.
pub(super) async fn run(chosen: &Chosen, arguments: Arguments) -> anyhow::Result<Exit> {
    let now = match &arguments.at {
        None => SystemClock.now(),
        Some(text) => match Timestamp::parse_rfc3339(text) {
            Some(now) => now,
            None => {
                output::message(&format!("--at {text}: is no RFC 3339 time"));
                return Ok(Exit::Usage);
            }
        },
    };
    let content = read(&arguments.response)?;
    let connection = match connection(chosen, now).await? {
        Ok(connection) => connection,
        Err(refusal) => {
            output::message(&format!("{}: {refusal}", chosen.saml().id));
            return Ok(Exit::Configuration);
        }
    };
    let report = Report::of(&content, &connection, arguments.in_response_to.as_deref(), now);
    report.print(arguments.json);
    Ok(if report.refusal.is_none() { Exit::Done } else { Exit::Findings })
}

fn read(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    // Twice the limit of a form: what is larger is refused by its code, what is huge is not read.
    anyhow::ensure!(
        size <= 16 * MAX_FORM as u64,
        "{}: {size} bytes are no captured response",
        file.display()
    );
    std::fs::read(file).with_context(|| file.display().to_string())
}

async fn connection(
    chosen: &Chosen,
    now: Timestamp,
) -> anyhow::Result<Result<SamlConnection, SamlRefusal>> {
    let configured = chosen.saml();
    let config = &chosen.loaded.config;
    let mut keys = saml::keys_of_files(configured)?;
    let mut document = saml::document(configured, None).await?;
    if (keys.is_empty() || document.is_none())
        && let Some((cabinet, store)) = saml::existing_cabinet(config).await?
    {
        if keys.is_empty() {
            keys = cabinet.keys(&configured.id).await?;
        }
        if document.is_none() {
            document = saml::document(configured, Some(&cabinet)).await?;
        }
        store.close().await;
    }
    if document.is_none()
        && let MetadataSource::Url(url) = &configured.metadata
    {
        document = Some(fetch(url).await.with_context(|| url.to_string())?);
    }
    let document = document.context(
        "there is no metadata of the identity provider: set metadata_file or metadata_url, or run \
         `saml import`",
    )?;
    let mut settings = saml::settings(configured, &config.public_url);
    if keys.is_empty() {
        // Nothing is sent here, so nothing has to be signed.
        settings.sign_requests = false;
        settings.sign_metadata = false;
    }
    Ok(saml::identity_provider(configured, &document, now)
        .and_then(|idp| saml::connection(settings, idp, keys)))
}

/// What is printed.
struct Report {
    refusal: Option<SamlRefusal>,
    checks: Vec<Check>,
    statement: Option<Statement>,
}

impl Report {
    fn of(
        content: &[u8],
        connection: &SamlConnection,
        in_response_to: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let decoded = match decode(content) {
            Ok(decoded) => decoded,
            Err(refusal) => {
                let detail = refusal.detail.clone();
                let check = Check { check: "decoded", ok: false, detail };
                return Self { refusal: Some(refusal), checks: vec![check], statement: None };
            }
        };
        let own = Unverified::look(&decoded).ok().and_then(|it| it.in_response_to);
        // Given empty, it says that no request is pending.
        let pending = in_response_to.or(own.as_deref()).filter(|id| !id.is_empty());
        let expectation = match pending {
            Some(id) => Expectation::Request(PendingRequest { id, forced_at: None }),
            None => Expectation::Unsolicited,
        };
        let Judgement { mut checks, statement, outcome, .. } =
            connection.verify(&decoded, expectation, now);
        if in_response_to.is_none() && own.is_some() {
            checks.push(Check {
                check: "pending_request",
                ok: true,
                detail: "not checked: the response's own InResponseTo was taken as known; give \
                         --in-response-to"
                    .to_owned(),
            });
        }
        Self { refusal: outcome.err(), checks, statement }
    }

    fn code(&self) -> &'static str {
        self.refusal.as_ref().map_or("ok", |refusal| refusal.code.as_str())
    }

    fn print(&self, as_json: bool) {
        if as_json {
            output::json(&self.object());
            return;
        }
        for check in &self.checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            output::line(&format!("{mark}  {:<28} {}", check.check, output::plain(&check.detail)));
        }
        if let Some(statement) = &self.statement {
            output::line("");
            output::facts(&json!({
                "subject": subject(statement),
                "attributes": attributes(statement),
                "person": person(statement),
                "notes": statement.notes,
            }));
        }
        output::line("");
        match &self.refusal {
            None => output::line("accepted"),
            Some(refusal) => output::line(&format!(
                "refused: {} ({})",
                refusal.code,
                output::plain(refusal.code.meaning())
            )),
        }
    }

    fn object(&self) -> Value {
        let statement = self.statement.as_ref();
        json!({
            "accepted": self.refusal.is_none(),
            "code": self.code(),
            "detail": self.refusal.as_ref().map(|refusal| &refusal.detail),
            "checks": self.checks,
            "subject": statement.map(subject),
            "attributes": statement.map(attributes),
            "person": statement.map(person),
            "notes": statement.map(|it| &it.notes),
        })
    }
}

fn subject(statement: &Statement) -> Value {
    let name_id = statement.name_id.as_ref();
    json!({
        "name_id": name_id.map(|it| &it.value),
        "format": name_id.and_then(|it| it.format.as_ref()),
        "name_qualifier": name_id.and_then(|it| it.name_qualifier.as_ref()),
        "sp_name_qualifier": name_id.and_then(|it| it.sp_name_qualifier.as_ref()),
        "session_index": statement.session_index,
    })
}

fn attributes(statement: &Statement) -> Value {
    let mut all = Map::new();
    for (name, _, values) in &statement.attributes {
        let list = all.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.extend(values.iter().map(|value| json!(value)));
        }
    }
    Value::Object(all)
}

fn person(statement: &Statement) -> Value {
    match &statement.person {
        None => Value::Null,
        Some((subject, profile)) => {
            let mut object = json!(profile);
            if let Value::Object(members) = &mut object {
                members.insert("subject".to_owned(), json!(subject));
            }
            object
        }
    }
}

/// Raw XML, the form body, or base64 as posted.
fn decode(content: &[u8]) -> Result<Vec<u8>, SamlRefusal> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+/=%&-_.*~\t\r\n !".contains(c);
    let text = match std::str::from_utf8(content) {
        Ok(text) if text.chars().all(is_plain) => text,
        // Neither base64 nor a form.
        _ => return Ok(content.to_vec()),
    };
    if is_form(text) {
        let posted = Posted::from_form(text.trim_end().as_bytes(), "SAMLResponse");
        return posted.map(|posted| posted.document);
    }
    document(text)
}

/// `name=value`; base64 has its equals signs at the end only.
fn is_form(text: &str) -> bool {
    let is_padding = |rest: &str| rest.chars().all(|c| c == '=' || c.is_ascii_whitespace());
    text.starts_with("SAMLResponse=")
        || text.contains(['&', '%'])
        || text.split_once('=').is_some_and(|(_, rest)| !is_padding(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_captured_response_are_told_apart() {
        for content in ["<a/>", " <a/>", "x <a/>", "\u{feff}<a/>"] {
            assert_eq!(decode(content.as_bytes()), Ok(content.as_bytes().to_vec()), "{content}");
        }
        for content in ["PGEvPg==", "PGEv\r\nPg==\n", "SAMLResponse=PGEvPg%3D%3D&RelayState=x\n"] {
            assert_eq!(decode(content.as_bytes()), Ok(b"<a/>".to_vec()), "{content}");
        }
        let code = |content: &str| decode(content.as_bytes()).unwrap_err().code.as_str();
        assert_eq!(code("RelayState=x"), "form");
        assert_eq!(code("SAMLRequest=PGEvPg=="), "form");
        assert_eq!(code("PGEv!!"), "base64");
    }
}
