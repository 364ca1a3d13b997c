//! One refresh by content synchronisation (RFC 4533, mode refreshOnly): what changed since a cookie.
//!
//! A server that cannot use a cookie says so in no error: it sends everything anew and calls
//! nothing deleted. So all that could tell the two apart is kept in the answer.

use ldap3::controls::{
    ControlParser as _, ControlType, EntryState, MakeCritical as _, RawControl, RefreshMode,
    SyncDone, SyncInfo, SyncRequest, SyncState, parse_syncinfo,
};
use ldap3::{ResultEntry, SearchOptions};

use super::super::decode::{SearchMessage, search_message};
use super::super::entry::Entry;
use super::super::failure::Failure;
use super::super::search::SearchRequest;
use super::{Connection, malformed_answer};

/// OID of the request control.
pub(in crate::connector::ldap) const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";

/// What a refresh brought. It counts only when `code` is 0.
#[derive(Debug, Default)]
pub(in crate::connector::ldap) struct RefreshAnswer {
    /// Result code.
    pub(in crate::connector::ldap) code: u32,
    /// Diagnostic text.
    pub(in crate::connector::ldap) diagnostic: String,
    /// Entries that are new or changed, or all.
    pub(in crate::connector::ldap) entries: Vec<Entry>,
    /// `entryUUID` of those that are no longer in the content.
    pub(in crate::connector::ldap) deleted: Vec<Vec<u8>>,
    /// Whether unchanged entries were named: then the server understood the cookie.
    pub(in crate::connector::ldap) named_unchanged: bool,
    /// Whether what is deleted was named.
    pub(in crate::connector::ldap) names_deleted: bool,
    /// Where to go on.
    pub(in crate::connector::ldap) cookie: Option<Vec<u8>>,
    /// Whether there were more entries than allowed; the answer is not complete then.
    pub(in crate::connector::ldap) too_many: bool,
}

impl Connection {
    /// Reads what changed since `cookie`, at most `limit` entries.
    pub(in crate::connector::ldap) async fn refresh(
        &mut self,
        request: &SearchRequest,
        cookie: Vec<u8>,
        limit: usize,
    ) -> Result<RefreshAnswer, Failure> {
        let mode = RefreshMode::RefreshOnly;
        let control = SyncRequest { mode, cookie: Some(cookie), reload_hint: false };
        let mut ldap = self.ldap.clone();
        ldap.with_controls(RawControl::from(control.critical()));
        let seconds = i32::try_from(self.operation_timeout.as_secs().max(1)).unwrap_or(i32::MAX);
        ldap.with_search_options(SearchOptions::new().timelimit(seconds));
        let attributes: Vec<&str> = request.attributes.iter().map(String::as_str).collect();
        let work = async {
            let mut stream = ldap
                .streaming_search(&request.base, request.scope, &request.filter, attributes)
                .await?;
            let mut answer = RefreshAnswer::default();
            let mut malformed = false;
            while let Some(message) = stream.next().await? {
                malformed |= answer.add(message).is_none();
                if answer.entries.len() > limit {
                    answer.too_many = true;
                    return Ok((answer, malformed));
                }
            }
            let result = stream.finish().await;
            answer.code = result.rc;
            answer.diagnostic = result.text;
            for control in &result.ctrls {
                if let (Some(ControlType::SyncDone), Some(value)) = (&control.0, &control.1.val) {
                    let done = SyncDone::parse(value);
                    answer.names_deleted = done.refresh_deletes;
                    answer.cookie = done.cookie.or_else(|| answer.cookie.take());
                }
            }
            Ok((answer, malformed))
        };
        match self.limited(work).await? {
            (answer, false) => Ok(answer),
            (_, true) => Err(malformed_answer()),
        }
    }
}

impl RefreshAnswer {
    fn add(&mut self, message: ResultEntry) -> Option<()> {
        if message.is_intermediate() {
            self.add_notice(parse_syncinfo(message));
            return Some(());
        }
        if message.is_ref() {
            return Some(());
        }
        let state = message
            .1
            .iter()
            .find(|control| matches!(control.0, Some(ControlType::SyncState)))
            .and_then(|control| control.1.val.as_deref().map(SyncState::parse))?;
        match state.state {
            EntryState::Present => self.named_unchanged = true,
            EntryState::Delete => self.deleted.push(state.entry_uuid),
            EntryState::Add | EntryState::Modify => {
                let Some(SearchMessage::Entry(entry)) = search_message(message) else {
                    return None;
                };
                self.entries.push(entry);
            }
        }
        Some(())
    }

    fn add_notice(&mut self, notice: SyncInfo) {
        let cookie = match notice {
            SyncInfo::NewCookie(cookie) => Some(cookie),
            SyncInfo::RefreshDelete { cookie, .. } | SyncInfo::RefreshPresent { cookie, .. } => {
                cookie
            }
            SyncInfo::SyncIdSet { cookie, refresh_deletes, sync_uuids } => {
                if refresh_deletes {
                    self.deleted.extend(sync_uuids);
                } else {
                    self.named_unchanged = true;
                }
                cookie
            }
        };
        if cookie.is_some() {
            self.cookie = cookie;
        }
    }
}
