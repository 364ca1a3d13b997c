//! Logout messages by redirect and by POST: judged for a person who is signed in.

use auth_core::connector::saml::{LogoutRequest, Received, SamlRefusal, SamlSession};
use auth_core::replay::claim;
use auth_core::store::memory::MemoryStore;
use auth_tests::saml_corpus::{Case, Connections, Kind, folder};

use super::hostile::{Finding, Judged, accepted, code};

/// Judges a case; `session` is that of alice, who is signed in.
pub(super) fn judge(
    case: &Case,
    connections: &Connections,
    content: &[u8],
    session: &SamlSession,
) -> Finding {
    let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
    let received = match case.kind {
        Kind::LogoutPost | Kind::LogoutAccepted => {
            Received::Post { document: content, relay_state: None }
        }
        _ => Received::Redirect { query: text },
    };
    let connection = connections.get(&case.connection).map_err(|error| error.to_string())?;
    let now = case.now().map_err(|error| error.to_string())?;
    let outcome = match case.message.as_deref() {
        Some("LogoutResponse") => {
            let answer = connection.verify_logout_response(received, case.pending.as_deref(), now);
            answer.map(|answer| format!("{answer:?}"))
        }
        _ => connection
            .verify_logout_request(received, now)
            .and_then(|request| end(&request, session.clone())),
    };
    match (outcome, case.expect.is_empty()) {
        (Err(refusal), false) => code(case, refusal.code.as_str(), &refusal.detail),
        (Ok(_), true) => Ok(Judged::Accepted),
        (Ok(what), false) => Err(format!("ACCEPTED: {what}, expected {:?}", case.expect)),
        (Err(refusal), true) => Err(format!("refused as {refusal}, is to be accepted")),
    }
}

fn end(request: &LogoutRequest, session: SamlSession) -> Result<String, SamlRefusal> {
    request.check_names(&session)?;
    Ok(format!("{} ends the session", request.id()))
}

/// The session that the control's sign-in makes.
pub(super) async fn session_of_alice(
    all: &[Case],
    connections: &Connections,
) -> Result<SamlSession, String> {
    let control = all.iter().find(|case| case.name == "00-control-assertion-signed");
    let control = control.ok_or("no control")?;
    let content = control.content(&folder("hostile")).map_err(|error| error.to_string())?;
    let verdict = control.judge(connections, &content).map_err(|error| error.to_string())?;
    let (_, unspent) = *accepted(control, verdict)?;
    let store = MemoryStore::default();
    let fresh = claim(&store, unspent.replay_key()).await.map_err(|error| error.to_string())?;
    let redeemed = unspent.redeem(fresh.ok_or("seen before")?);
    redeemed.map(|it| it.session).map_err(|refusal| refusal.to_string())
}
