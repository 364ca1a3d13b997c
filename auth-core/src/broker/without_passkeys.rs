//! What a login does about passkeys in a build without them: nothing.

use super::sign_in::At;
use super::{Broker, BrokerError, Step};
use crate::login::{PendingLogin, Stage};

impl Broker {
    pub(super) async fn prepare_ceremony(
        &self,
        login: &mut PendingLogin,
        _: &Stage,
    ) -> Result<(), BrokerError> {
        login.set_ceremony(None);
        Ok(())
    }

    pub(super) fn passkey_options(
        &self,
        login: &PendingLogin,
    ) -> Result<Option<String>, BrokerError> {
        let _ = login.ceremony();
        Ok(None)
    }

    pub(super) async fn factor_by_passkey(
        &self,
        _: PendingLogin,
        _: &str,
        _: &At<'_>,
    ) -> Result<Step, BrokerError> {
        Err(BrokerError::FormToken)
    }

    pub(super) async fn enrol_passkey(
        &self,
        _: PendingLogin,
        _: &str,
        _: Option<&str>,
        _: &At<'_>,
    ) -> Result<Step, BrokerError> {
        Err(BrokerError::FormToken)
    }

    pub(super) async fn passwordless(
        &self,
        _: PendingLogin,
        _: &str,
        _: &At<'_>,
    ) -> Result<Step, BrokerError> {
        Err(BrokerError::FormToken)
    }
}
