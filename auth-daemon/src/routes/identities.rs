//! Ways to sign in: a signed-in person's identities, another one linked, one taken away. Both
//! changes ask for a fresh proof of who the person is.

use std::sync::Arc;

use auth_core::broker::{ConnectorKind, Step};
use auth_core::connector::LOCAL;
use auth_core::login::{LoginRequest, OwnPage};
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::onward;
use crate::app::App;
use crate::error::PublicError;
use crate::extract::browser::Browser;
use crate::extract::origin::RequestOrigin;
use crate::extract::signed_in::SignedIn;
use crate::pages;

/// What is to be done.
#[derive(Deserialize)]
pub(super) struct IdentityForm {
    csrf: String,
    action: String,
    #[serde(default)]
    connector: String,
    #[serde(default)]
    subject: String,
}

/// `GET /account/identities`.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
) -> Result<Response, PublicError> {
    let account = signed_in.session.account();
    let own = app.broker.store().identities(&[account.id]).await?;
    let choices = app.broker.connectors().choices();
    let label = |id: &str| {
        let known = choices.iter().find(|choice| choice.id == id);
        known.map_or_else(|| id.to_owned(), |choice| choice.label.clone())
    };
    let can_unlink = own.len() > 1;
    let identities: Vec<pages::IdentityItem> = own
        .iter()
        .map(|identity| pages::IdentityItem {
            connector: identity.connector.clone(),
            label: label(&identity.connector),
            subject: identity.subject.clone(),
            shown_subject: if identity.connector == LOCAL {
                String::new()
            } else {
                identity.subject.clone()
            },
            since: identity.linked_at.rfc3339(),
            since_shown: pages::moment(identity.linked_at),
            can_unlink,
        })
        .collect();
    let linkable: Vec<pages::Choice> = choices
        .iter()
        .filter(|choice| choice.kind == ConnectorKind::Redirect)
        .map(|choice| pages::Choice::plain(&choice.id, &choice.label))
        .collect();
    let fresh = app.broker.may_change_identities(&signed_in.session).await?;
    let page = pages::Identities {
        identities: &identities,
        linkable: &linkable,
        fresh,
        csrf: &signed_in.csrf,
    };
    Ok(pages::render(&page))
}

/// `POST /account/identities`.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    signed_in: SignedIn,
    Form(form): Form<IdentityForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    let session = &signed_in.session;
    if !app.broker.may_change_identities(session).await? {
        let request = LoginRequest {
            account: Some(session.account().id),
            two_factors: app.broker.has_second_factor(session).await?,
            page: Some(OwnPage::Identities),
            login_hint: Some(session.account().username.clone()),
            ..LoginRequest::default()
        };
        return onward::begin_from_form(&app, request, None, &browser, &origin).await;
    }
    match form.action.as_str() {
        "link" => {
            let choices = app.broker.connectors().choices();
            let known = choices.iter().any(|choice| {
                choice.id == form.connector && choice.kind == ConnectorKind::Redirect
            });
            if !known {
                return Err(PublicError::BadRequest);
            }
            let request = LoginRequest {
                account: Some(session.account().id),
                link: Some(session.id()),
                page: Some(OwnPage::Identities),
                connectors: Some(vec![form.connector.clone()]),
                ..LoginRequest::default()
            };
            onward::begin_from_form(&app, request, Some(&form.connector), &browser, &origin).await
        }
        "unlink" => {
            let unlinked =
                app.broker.unlink_own(session, &form.connector, &form.subject, &origin).await;
            match unlinked {
                Ok(true) => Ok(Redirect::to("/account/identities").into_response()),
                Ok(false) => Err(PublicError::BadRequest),
                Err(auth_core::broker::BrokerError::Invalid { .. }) => Err(PublicError::BadRequest),
                Err(error) => Err(error.into()),
            }
        }
        _ => Err(PublicError::BadRequest),
    }
}

/// The page after a link, or the answer to any other step of such a login.
pub(super) fn linked(step: &Step) -> Option<Response> {
    matches!(step, Step::Linked { .. }).then(|| onward::to_page("/account/identities"))
}
