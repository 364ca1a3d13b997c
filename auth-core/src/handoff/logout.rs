//! Logout that a client asks for: OpenID Connect RP-Initiated Logout 1.0.
//!
//! Only an ID token of ours says for sure who asks; without one the person is asked first. The
//! browser is sent on to an address of the client's own, compared exactly, or nowhere.

use url::form_urlencoded;

use super::client::Client;
use super::parameters::Parameters;
use crate::store::AccountId;

const LONGEST_STATE: usize = 4096;

/// A checked logout request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogoutRequest {
    /// Whose session is to end, by an ID token of ours; none without one.
    pub account: Option<AccountId>,
    /// Where the browser goes afterwards.
    pub target: Option<LogoutTarget>,
}

/// Where the browser goes after a logout; one of the client's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutTarget {
    /// The client.
    pub client: String,
    /// The registered address.
    pub uri: String,
    /// Given back with it.
    pub state: Option<String>,
}

impl LogoutTarget {
    /// Judges where a client wants its people sent to. `None` when it is none of its addresses.
    #[must_use]
    pub fn judge(client: &Client, uri: &str, state: Option<&str>) -> Option<Self> {
        let good = client.allows_post_logout_redirect_uri(uri)
            && state.is_none_or(|state| state.len() <= LONGEST_STATE);
        good.then(|| Self {
            client: client.id().to_owned(),
            uri: uri.to_owned(),
            state: state.map(str::to_owned),
        })
    }

    /// The address with the state. The registered text stays as it is.
    #[must_use]
    pub fn location(&self) -> String {
        let Some(state) = &self.state else { return self.uri.clone() };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("state", state);
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{separator}{}", self.uri, query.finish())
    }
}

/// Why a logout request is not followed; shown to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogoutRefusal {
    /// A parameter is repeated.
    #[error("the request is malformed")]
    Malformed,
    /// `client_id` is of nobody, or not whom the ID token was made for.
    #[error("the application is not known here")]
    Client,
    /// The address is none of the client's, or of nobody's.
    #[error("the address to return to is not one of the application's")]
    Redirect,
}

impl LogoutRefusal {
    /// The word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "logout_request_malformed",
            Self::Client => "client_unknown",
            Self::Redirect => "post_logout_redirect_uri_mismatch",
        }
    }
}

/// The client that a request is of: `client_id`, which has to be among those that the ID token
/// was made for, else the only one of those.
///
/// # Errors
/// When the two contradict each other.
pub fn requesting_client<'a>(
    parameters: &Parameters<'a>,
    audience: Option<&'a [String]>,
) -> Result<Option<&'a str>, LogoutRefusal> {
    if parameters.any_repeated().is_some() {
        return Err(LogoutRefusal::Malformed);
    }
    match (parameters.get("client_id"), audience) {
        (Some(id), Some(audience)) if !audience.iter().any(|one| one == id) => {
            Err(LogoutRefusal::Client)
        }
        (Some(id), _) => Ok(Some(id)),
        (None, Some([only])) => Ok(Some(only)),
        (None, _) => Ok(None),
    }
}

/// Reads where the browser is to go.
///
/// # Errors
/// When it is to go to an address that is none of the client's.
pub fn target(
    parameters: &Parameters<'_>,
    client: Option<&Client>,
) -> Result<Option<LogoutTarget>, LogoutRefusal> {
    let Some(uri) = parameters.get("post_logout_redirect_uri") else { return Ok(None) };
    client
        .and_then(|client| LogoutTarget::judge(client, uri, parameters.get("state")))
        .map(Some)
        .ok_or(LogoutRefusal::Redirect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::client::ClientSettings;
    use crate::handoff::client::tests::{confidential, settings};

    fn client() -> Client {
        confidential(ClientSettings {
            post_logout_redirect_uris: vec![
                "https://chat.example.com/".into(),
                "https://chat.example.com/bye?a=b".into(),
            ],
            ..settings("chat")
        })
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_browser_is_sent_to_a_registered_address_or_nowhere() {
        let target = |uri: &str, state: &str| {
            let owned = pairs(&[("post_logout_redirect_uri", uri), ("state", state)]);
            target(&Parameters::new(&owned), Some(&client()))
                .map(|target| target.map(|target| target.location()))
        };
        let there = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(target("https://chat.example.com/", ""), there("https://chat.example.com/"));
        assert_eq!(
            target("https://chat.example.com/", "a&b"),
            there("https://chat.example.com/?state=a%26b")
        );
        assert_eq!(
            target("https://chat.example.com/bye?a=b", "s"),
            there("https://chat.example.com/bye?a=b&state=s")
        );
        assert_eq!(target("", "s"), Ok(None));
        for uri in [
            "https://chat.example.com",
            "https://chat.example.com/?x",
            "https://chat.example.com/cb",
            "https://evil.example/",
            "//chat.example.com/",
            "javascript:alert(1)",
        ] {
            assert_eq!(target(uri, ""), Err(LogoutRefusal::Redirect), "{uri}");
        }
        let long = "s".repeat(4097);
        assert_eq!(target("https://chat.example.com/", &long), Err(LogoutRefusal::Redirect));
        let owned = pairs(&[("post_logout_redirect_uri", "https://chat.example.com/")]);
        let nobody = super::target(&Parameters::new(&owned), None);
        assert_eq!(nobody, Err(LogoutRefusal::Redirect));
    }

    #[test]
    fn the_client_is_the_one_that_the_id_token_was_made_for() {
        let check = |list: &[(&str, &str)], audience: Option<&[&str]>, expected| {
            let owned = pairs(list);
            let audience: Option<Vec<String>> =
                audience.map(|list| list.iter().map(|one| (*one).to_owned()).collect());
            let parameters = Parameters::new(&owned);
            let found =
                requesting_client(&parameters, audience.as_deref()).map(|id| id.map(str::to_owned));
            assert_eq!(found, expected);
        };
        let chat = || Ok(Some("chat".to_owned()));
        check(&[("client_id", "chat")], None, chat());
        check(&[("client_id", "chat")], Some(&["chat"]), chat());
        check(&[], Some(&["chat"]), chat());
        check(&[], None, Ok(None));
        check(&[], Some(&["chat", "other"]), Ok(None));
        check(&[("client_id", "other")], Some(&["chat"]), Err(LogoutRefusal::Client));
        check(&[("state", "a"), ("state", "b")], None, Err(LogoutRefusal::Malformed));
    }
}
