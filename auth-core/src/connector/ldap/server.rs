//! One server of a directory: its two pools, and whether it is worth asking now.
//!
//! Searches run under the service identity. Binds of people run on connections of their own, one
//! at a time, and never a search on them. A server that failed is asked last for about 30 s.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::bind_result::BindOutcome;
use super::client::{Connection, Endpoint};
use super::failure::{Failure, FailureKind};
use super::pool::{Lease, Pool, PoolStatus};
use super::search::{SearchAnswer, SearchRequest};
use crate::random::Random;
use crate::secret::Secret;

const DOWN_FOR: Duration = Duration::from_secs(30);
const DOWN_JITTER_MILLIS: u16 = 10_000;
/// A refused service account is not tried again for so long: every try counts against its lockout.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// The service account.
#[derive(Debug)]
pub(super) struct ServiceAccount {
    /// Its DN.
    pub(super) dn: String,
    /// Its password.
    pub(super) password: Secret,
}

/// Numbers of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Its URL.
    pub url: String,
    /// Whether it failed within the last half minute.
    pub down: bool,
    /// Connections for searches.
    pub searches: PoolStatus,
    /// Connections for binds of people.
    pub binds: PoolStatus,
}

/// One server.
pub(super) struct Server {
    endpoint: Endpoint,
    account: Option<std::sync::Arc<ServiceAccount>>,
    searches: Pool,
    binds: Pool,
    down_until: Mutex<Option<Instant>>,
    refused: Mutex<Option<(Instant, Failure)>>,
}

impl Server {
    /// A server that is not connected yet.
    pub(super) fn new(
        endpoint: Endpoint,
        account: Option<std::sync::Arc<ServiceAccount>>,
        pool_size: usize,
    ) -> Self {
        Self {
            endpoint,
            account,
            searches: Pool::new(pool_size),
            binds: Pool::new(pool_size),
            down_until: Mutex::new(None),
            refused: Mutex::new(None),
        }
    }

    /// Where it is.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its URL, for messages.
    pub(super) fn url(&self) -> &str {
        self.endpoint.url.as_str()
    }

    /// Numbers of the moment.
    pub(super) fn status(&self) -> ServerStatus {
        ServerStatus {
            url: self.url().to_owned(),
            down: self.is_down(),
            searches: self.searches.status(),
            binds: self.binds.status(),
        }
    }

    /// Whether it failed lately.
    pub(super) fn is_down(&self) -> bool {
        self.down_until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Notes a failure: it is asked last for a while, the longer by chance so that not every
    /// node comes back to it at the same moment.
    pub(super) fn mark_down(&self, random: &dyn Random) {
        let mut bytes = [0; 2];
        random.fill(&mut bytes);
        let jitter = u64::from(u16::from_le_bytes(bytes) % DOWN_JITTER_MILLIS);
        *self.down_until.lock() = Some(Instant::now() + DOWN_FOR + Duration::from_millis(jitter));
        self.searches.clear();
        self.binds.clear();
    }

    /// Notes that it answered.
    pub(super) fn mark_up(&self) {
        *self.down_until.lock() = None;
    }

    /// Runs a search under the service identity, to its end.
    pub(super) async fn search(&self, request: &SearchRequest) -> Result<SearchAnswer, Failure> {
        match self.search_once(request, false).await {
            // A reused connection whose peer had gone: the search changes nothing, so once more.
            Err((failure, true)) if failure.was_closed => {
                self.search_once(request, true).await.map_err(|(failure, _)| failure)
            }
            result => result.map_err(|(failure, _)| failure),
        }
    }

    /// Runs a search page by page and gives `each` page to the caller, until there is none or
    /// `each` returns `false`. An error code ends it, with the code in the last answer.
    pub(super) async fn search_paged(
        &self,
        request: &SearchRequest,
        page_size: u32,
        mut each: impl FnMut(&mut SearchAnswer) -> bool,
    ) -> Result<SearchAnswer, Failure> {
        // The pages of one search belong to one connection.
        let mut lease = self.search_lease(false).await?;
        let mut first = lease.connection.page(request, page_size, Vec::new()).await;
        if lease.reused && first.as_ref().is_err_and(|failure| failure.was_closed) {
            drop(lease);
            lease = self.search_lease(true).await?;
            first = lease.connection.page(request, page_size, Vec::new()).await;
        }
        let mut answer = first?;
        while each(&mut answer) && answer.code == 0 && !answer.cookie.is_empty() {
            let cookie = std::mem::take(&mut answer.cookie);
            answer = lease.connection.page(request, page_size, cookie).await?;
        }
        // A search that was left in the middle stays with its connection.
        if answer.cookie.is_empty() {
            lease.give_back();
        }
        Ok(answer)
    }

    /// Judges a person's password by a bind on a connection that nothing else is done on.
    pub(super) async fn bind(&self, dn: &str, password: &str) -> Result<BindOutcome, Failure> {
        match self.bind_once(dn, password, false).await {
            Err((failure, true)) if failure.was_closed => {
                self.bind_once(dn, password, true).await.map_err(|(failure, _)| failure)
            }
            result => result.map_err(|(failure, _)| failure),
        }
    }

    /// Opens a connection and binds the service account, apart from the pools.
    pub(super) async fn open_service(&self) -> Result<Connection, Failure> {
        let mut connection = Connection::open(&self.endpoint).await?;
        if let Some(account) = &self.account {
            bind_service(&mut connection, account).await?;
        }
        Ok(connection)
    }

    /// As [`Server::open_service`], but not again at once after the account was refused.
    pub(super) async fn open_reader(&self) -> Result<Connection, Failure> {
        self.not_refused()?;
        let opened = self.open_service().await;
        self.note_refusal(&opened);
        opened
    }

    async fn search_once(
        &self,
        request: &SearchRequest,
        fresh: bool,
    ) -> Result<SearchAnswer, (Failure, bool)> {
        let mut lease = self.search_lease(fresh).await.map_err(|failure| (failure, false))?;
        let reused = lease.reused;
        let answer = lease.connection.search(request).await.map_err(|failure| (failure, reused))?;
        lease.give_back();
        Ok(answer)
    }

    async fn bind_once(
        &self,
        dn: &str,
        password: &str,
        fresh: bool,
    ) -> Result<BindOutcome, (Failure, bool)> {
        let open = || Connection::open(&self.endpoint);
        let wait = self.endpoint.operation_timeout;
        let lease = self.binds.lease(wait, fresh, open).await;
        let mut lease = lease.map_err(|failure| (failure, false))?;
        let reused = lease.reused;
        let answer =
            lease.connection.bind(dn, password).await.map_err(|failure| (failure, reused))?;
        let outcome = answer.judge().map_err(|failure| (failure, false))?;
        // A server may tie a connection to an account that has to do something first: only a
        // connection with a plain answer is used again.
        if answer.code == 49 || outcome == BindOutcome::Accepted {
            lease.give_back();
        }
        Ok(outcome)
    }

    async fn search_lease(&self, fresh: bool) -> Result<Lease<'_>, Failure> {
        self.not_refused()?;
        let wait = self.endpoint.operation_timeout;
        let lease = self.searches.lease(wait, fresh, || self.open_service()).await;
        self.note_refusal(&lease);
        lease
    }

    fn not_refused(&self) -> Result<(), Failure> {
        match &*self.refused.lock() {
            Some((since, failure)) if since.elapsed() < REFUSED_FOR => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    fn note_refusal<T>(&self, opened: &Result<T, Failure>) {
        if let Err(failure) = opened
            && failure.kind == FailureKind::BindRefused
        {
            *self.refused.lock() = Some((Instant::now(), failure.clone()));
        }
    }
}

async fn bind_service(
    connection: &mut Connection,
    account: &ServiceAccount,
) -> Result<(), Failure> {
    let answer = connection.bind(&account.dn, account.password.expose()).await?;
    match answer.judge()? {
        BindOutcome::Accepted => Ok(()),
        BindOutcome::Refused(reason) => Err(Failure::new(
            FailureKind::BindRefused,
            format!(
                "the service account {} was refused ({}; result {} {}): check bind_dn and bind_password",
                account.dn,
                reason.as_str(),
                answer.code,
                answer.diagnostic
            ),
        )),
    }
}
