//! Removal of what has expired.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::State;
use crate::clock::Timestamp;
use crate::store::SessionRecord;

/// How long ended sessions and expired codes are kept, so that a late second use of a code still
/// finds the session to end, and a listing can say why a session is over.
const KEPT: Duration = Duration::from_hours(24);

/// How long past runs of a synchronisation are listed.
const RUNS_KEPT: Duration = Duration::from_hours(24 * 90);

impl State {
    /// Removes what has expired before `now`; returns how many rows went.
    pub(super) fn purge(&mut self, now: Timestamp) -> u64 {
        let mut gone = remove(&mut self.logins, |login| login.expires_at <= now);
        gone += remove(&mut self.enrolments, |enrolment| enrolment.expires_at <= now);
        gone += remove(&mut self.devices, |device| device.expires_at <= now);
        gone += remove(&mut self.cookies, |cookie| cookie.expires_at <= now);
        gone += remove(&mut self.codes, |code| code.expires_at + KEPT <= now);
        gone += remove(&mut self.pushed_requests, |request| request.expires_at <= now);
        gone += remove(&mut self.device_grants, |grant| grant.expires_at <= now);
        gone += remove(&mut self.seen, |expires_at| *expires_at <= now);
        gone += remove(&mut self.counters, |counter| counter.until <= now);
        let before = self.upstream_sessions.len();
        self.upstream_sessions.retain(|_, record| record.expires_at > now);
        gone += (before - self.upstream_sessions.len()) as u64;
        gone += self.outbox.purge(now);
        gone += remove_ended(&mut self.sessions, now);
        let runs = self.sync_jobs.len();
        self.sync_jobs.retain(|_, job| job.finished_at.is_none_or(|end| end + RUNS_KEPT > now));
        gone += (runs - self.sync_jobs.len()) as u64;
        let sessions = &self.sessions;
        gone += remove(&mut self.access_tokens, |token| {
            token.expires_at <= now || !sessions.contains_key(&token.session)
        });
        gone += remove(&mut self.refresh_tokens, |row| {
            row.record.expires_at <= now || !sessions.contains_key(&row.record.session)
        });
        gone
    }
}

fn remove<K: Eq + Hash, V>(rows: &mut HashMap<K, V>, expired: impl Fn(&V) -> bool) -> u64 {
    let before = rows.len();
    rows.retain(|_, row| !expired(row));
    (before - rows.len()) as u64
}

fn remove_ended<K: Ord>(sessions: &mut BTreeMap<K, SessionRecord>, now: Timestamp) -> u64 {
    let before = sessions.len();
    sessions.retain(|_, session| ended_at(session) + KEPT > now);
    (before - sessions.len()) as u64
}

/// When the session ended or will end if nobody uses it.
fn ended_at(session: &SessionRecord) -> Timestamp {
    let idle = u64::try_from(session.idle_timeout_millis).unwrap_or(0);
    let idle_end = (idle > 0).then(|| session.last_seen_at + Duration::from_millis(idle));
    let ends = [session.revoked_at, idle_end];
    ends.into_iter().flatten().fold(session.expires_at, Timestamp::min)
}
