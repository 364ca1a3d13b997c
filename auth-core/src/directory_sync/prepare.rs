//! From the directory to a plan: read, compare, decide, settle.

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc;

use super::change::{Change, Operation};
use super::compare::{Comparison, Traces, Unmappable};
use super::decision::{Blocks, Candidate, Decision, decide, decide_gone};
use super::digest::Digester;
use super::names::{Cause, Claim};
use super::plan::{Draft, Plan};
use super::population::{Population, PopulationSummary};
use super::request::{Progress, SyncError, Watcher};
use super::runner::DirectorySync;
use super::spool::Spool;
use crate::broker::new_id;
use crate::connector::ldap::PopulationItem;
use crate::store::{AccountId, AccountRecord, SyncCounts, SyncedPerson};

/// People that are looked at together.
pub(super) const CHUNK: usize = 1000;
/// Known people whose traces are loaded at once.
const TRACES: usize = 5000;
/// Pages that may wait between directory and comparison.
const PAGES: usize = 4;
/// Entries that cannot be mapped and are listed one by one.
const LISTED: usize = 1000;

/// A plan with all that is needed to list it or to carry it out.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) summary: PopulationSummary,
    pub(super) plan: Plan,
    pub(super) counts: SyncCounts,
    spool: Spool,
    gone: Vec<(String, &'static str)>,
    unmappable: Unmappable,
    /// Entries that cannot be mapped, as conflicts.
    pub(super) unmapped: Vec<Change>,
    /// DNs of the other sides of conflicts, and owners of names in words.
    dns: HashMap<u32, String>,
    owners: Vec<String>,
}

/// A person with what is decided.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) index: u32,
    pub(super) dn: String,
    pub(super) subject: String,
    pub(super) decision: Decision,
}

/// What the read brought.
#[derive(Debug)]
struct Stage {
    traces: Traces,
    loaded: bool,
    spool: Spool,
    replaced: HashSet<u32>,
    gone: Vec<(String, &'static str)>,
    unmappable: Unmappable,
    unmapped: Vec<Change>,
    unmappable_count: u64,
    people: u64,
    unchanged: u64,
}

impl DirectorySync {
    /// Reads the directory and makes the plan.
    pub(super) async fn prepare(
        &self,
        population: &dyn Population,
        since: Option<&serde_json::Value>,
        watcher: &dyn Watcher,
    ) -> Result<Prepared, SyncError> {
        let (items, pages) = mpsc::channel(PAGES);
        // With a position few people come: they are looked up one by one instead.
        let read = population.read(since, self.clock.now(), items);
        let (summary, stage) = tokio::join!(read, self.compare(pages, since.is_none(), watcher));
        // What the store said comes first: a read that was given up for it fails too.
        let (mut stage, summary) = match (stage, summary) {
            (Err(error), _) => return Err(error),
            (Ok(_), Err(error)) => return Err(error.into()),
            (Ok(stage), Ok(summary)) => (stage, summary),
        };
        if !summary.incremental {
            self.find_gone(&mut stage).await?;
        }
        self.decide_all(stage, summary, watcher).await
    }

    async fn compare(
        &self,
        mut pages: mpsc::Receiver<Vec<PopulationItem>>,
        load: bool,
        watcher: &dyn Watcher,
    ) -> Result<Stage, SyncError> {
        let mut stage = Stage {
            traces: Traces::default(),
            loaded: load,
            spool: Spool::new(),
            replaced: HashSet::new(),
            gone: Vec::new(),
            unmappable: Unmappable::default(),
            unmapped: Vec::new(),
            unmappable_count: 0,
            people: 0,
            unchanged: 0,
        };
        if load {
            let mut after: Option<String> = None;
            loop {
                let page =
                    self.store.sync_traces(&self.rules.directory, after.as_deref(), TRACES).await?;
                stage.traces.load(&page);
                match page.last() {
                    Some(last) if page.len() == TRACES => after = Some(last.subject.clone()),
                    _ => break,
                }
            }
        }
        let mut digester = Digester::default();
        while let Some(page) = pages.recv().await {
            for item in page {
                stage.take(item, &mut digester)?;
            }
            stage.spool.flush()?;
            watcher.progress(Progress::Reading { entries: stage.people });
        }
        Ok(stage)
    }

    /// Known people who did not stream past.
    async fn find_gone(&self, stage: &mut Stage) -> Result<(), SyncError> {
        stage.gone.clear();
        if stage.loaded && stage.traces.unseen() == 0 {
            return Ok(());
        }
        let mut after: Option<String> = None;
        loop {
            let page =
                self.store.sync_traces(&self.rules.directory, after.as_deref(), TRACES).await?;
            let next = page.last().filter(|_| page.len() == TRACES).map(|it| it.subject.clone());
            for trace in page {
                if !trace.shut_out && !stage.traces.was_seen(&trace.subject) {
                    stage.gone.push((trace.subject, "gone"));
                }
            }
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }

    async fn decide_all(
        &self,
        mut stage: Stage,
        summary: PopulationSummary,
        watcher: &dyn Watcher,
    ) -> Result<Prepared, SyncError> {
        let mut draft = Draft::default();
        let total = stage.spool.len();
        let indexes: Vec<u32> = (0..total).collect();
        let mut chunks = indexes.chunks(CHUNK);
        let mut candidates = stage.candidates(chunks.next().unwrap_or_default())?;
        while let Some((last, _)) = candidates.last() {
            let done = u64::from(*last) + 1;
            let claims = self.draft_chunk(&mut draft, &stage, candidates).await?;
            let names: Vec<String> = claims.iter().map(|claim| claim.name.clone()).collect();
            // The next ones are read while the store looks for owners of these names.
            let next = async { stage.candidates(chunks.next().unwrap_or_default()) };
            let (owners, next) = tokio::join!(self.owners(&names), next);
            draft.names.contest(&claims, owners?);
            candidates = next?;
            watcher.progress(Progress::Comparing { done, total: u64::from(total) });
        }
        let mut gone = Vec::new();
        let candidates = std::mem::take(&mut stage.gone);
        for chunk in candidates.chunks(CHUNK) {
            let subjects: Vec<String> = chunk.iter().map(|(subject, _)| subject.clone()).collect();
            let known = self.known(&subjects).await?;
            for (subject, word) in chunk {
                // A gone entry need not have been anybody's.
                let Some(person) = known.get(subject) else { continue };
                if stage.traces.was_seen(subject) {
                    continue;
                }
                let decision = self.decide_gone(person, word, &stage.unmappable);
                draft.add_gone(person, &decision);
                gone.push((subject.clone(), *word));
            }
        }
        let plan = draft.settle();
        let mut counts = plan.counts;
        counts.unchanged += stage.unchanged;
        counts.conflict += stage.unmappable_count;
        let mut prepared = Prepared {
            summary,
            counts,
            spool: stage.spool,
            gone,
            unmappable: stage.unmappable,
            unmapped: stage.unmapped,
            dns: HashMap::new(),
            owners: self.describe(&plan.owners).await?,
            plan,
        };
        for index in prepared.plan.other_sides() {
            let dn = prepared.spool.get(index)?.dn;
            prepared.dns.insert(index, dn);
        }
        Ok(prepared)
    }

    async fn draft_chunk(
        &self,
        draft: &mut Draft,
        stage: &Stage,
        candidates: Vec<(u32, Candidate)>,
    ) -> Result<Vec<Claim>, SyncError> {
        let maybe = candidates.iter().filter(|(index, _)| stage.spool.maybe_known(*index));
        let subjects: Vec<String> = maybe.map(|(_, it)| it.subject.clone()).collect();
        let known = self.known(&subjects).await?;
        let mut claims = Vec::new();
        for (index, candidate) in &candidates {
            if stage.replaced.contains(index) {
                draft.skip();
                continue;
            }
            let known = known.get(&candidate.subject);
            let decision = self.decide(candidate, known, &Blocks::default());
            claims.append(&mut draft.add(known, &decision));
        }
        Ok(claims)
    }

    /// Accounts that have one of these names.
    async fn owners(&self, names: &[String]) -> Result<Vec<AccountRecord>, SyncError> {
        if names.is_empty() {
            Ok(Vec::new())
        } else {
            Ok(self.store.accounts_by_keys(names).await?)
        }
    }

    /// Decides about people once more, on what the store holds now.
    pub(super) async fn decide_chunk(
        &self,
        prepared: &mut Prepared,
        indexes: &[u32],
        look_up_all: bool,
    ) -> Result<Vec<Decided>, SyncError> {
        let people = prepared.spool.len();
        let mut candidates = Vec::with_capacity(indexes.len());
        let mut subjects = Vec::new();
        for &index in indexes {
            if index < people {
                let candidate = prepared.spool.get(index)?;
                if look_up_all || prepared.plan.is_known(index) {
                    subjects.push(candidate.subject.clone());
                }
                candidates.push((index, Some(candidate)));
            } else {
                let gone = prepared.gone.get((index - people) as usize);
                subjects.extend(gone.map(|(subject, _)| subject.clone()));
                candidates.push((index, None));
            }
        }
        let known = self.known(&subjects).await?;
        let mut decided = Vec::with_capacity(candidates.len());
        for (index, candidate) in candidates {
            if let Some(candidate) = candidate {
                let describe = |cause| prepared.describe(cause);
                let blocks = prepared.plan.blocks(index, &candidate, &describe);
                let decision = self.decide(&candidate, known.get(&candidate.subject), &blocks);
                let Candidate { dn, subject, .. } = candidate;
                decided.push(Decided { index, dn, subject, decision });
            } else if let Some((subject, word)) = prepared.gone.get((index - people) as usize)
                && let Some(person) = known.get(subject)
            {
                let decision = self.decide_gone(person, word, &prepared.unmappable);
                let dn = person.mark.as_ref().map(|mark| mark.dn.clone()).unwrap_or_default();
                decided.push(Decided { index, dn, subject: subject.clone(), decision });
            }
        }
        Ok(decided)
    }

    fn decide(
        &self,
        candidate: &Candidate,
        known: Option<&SyncedPerson>,
        blocks: &Blocks,
    ) -> Decision {
        let now = self.clock.now();
        let id = AccountId(new_id(self.random.as_ref(), now));
        decide(candidate, known, blocks, &self.rules, id, now)
    }

    fn decide_gone(&self, person: &SyncedPerson, word: &str, unmappable: &Unmappable) -> Decision {
        // Empty: only a login has noted something so far.
        let dn = person.mark.as_ref().map(|mark| mark.dn.as_str()).filter(|dn| !dn.is_empty());
        decide_gone(person, word, unmappable.may_be(dn), &self.rules, self.clock.now())
    }

    async fn known(&self, subjects: &[String]) -> Result<HashMap<String, SyncedPerson>, SyncError> {
        if subjects.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.store.synced_people(&self.rules.directory, subjects).await?;
        Ok(found.into_iter().map(|person| (person.subject.clone(), person)).collect())
    }

    /// Accounts in words, with the connectors that they come from.
    async fn describe(&self, accounts: &[AccountRecord]) -> Result<Vec<String>, SyncError> {
        let mut described = Vec::with_capacity(accounts.len());
        for chunk in accounts.chunks(CHUNK) {
            let ids: Vec<AccountId> = chunk.iter().map(|account| account.id).collect();
            let identities = self.store.identities(&ids).await?;
            for account in chunk {
                let mut connectors: Vec<&str> = identities
                    .iter()
                    .filter(|identity| identity.account == account.id)
                    .map(|identity| identity.connector.as_str())
                    .collect();
                connectors.dedup();
                let state = match account.inactive_reason.as_deref() {
                    Some(reason) if !account.active => format!(", inactive: {reason}"),
                    _ => String::new(),
                };
                described.push(format!(
                    "account {:?} ({}, of {}{state})",
                    account.username,
                    account.id,
                    if connectors.is_empty() {
                        "no connector".into()
                    } else {
                        connectors.join(", ")
                    },
                ));
            }
        }
        Ok(described)
    }
}

impl Stage {
    /// People by their numbers, as they came.
    fn candidates(&mut self, numbers: &[u32]) -> Result<Vec<(u32, Candidate)>, SyncError> {
        numbers.iter().map(|&number| Ok((number, self.spool.get(number)?))).collect()
    }

    fn take(&mut self, item: PopulationItem, digester: &mut Digester) -> Result<(), SyncError> {
        match item {
            PopulationItem::Person(person) => {
                self.people += 1;
                let digest = digester.digest(&person);
                let comparison = self.traces.compare(&person.subject, &digest);
                if comparison == Comparison::Unchanged {
                    self.unchanged += 1;
                    return Ok(());
                }
                let index = self.spool.len();
                self.replaced.extend(self.traces.pass(&person.subject, index));
                let maybe_known = !self.loaded || comparison == Comparison::Changed;
                self.spool.push(&Candidate::of(*person, digest), maybe_known)?;
            }
            PopulationItem::Unmappable { dn, attribute, problem } => {
                self.unmappable.note(&dn);
                self.unmappable_count += 1;
                if self.unmapped.len() < LISTED {
                    self.unmapped.push(Change {
                        op: Operation::Conflict,
                        dn,
                        id: String::new(),
                        account: None,
                        fields: std::collections::BTreeMap::new(),
                        reason: Some(format!(
                            "{attribute} {problem}: mend the entry, or leave it out by user_filter"
                        )),
                    });
                }
            }
            PopulationItem::Gone { subject, reason } => self.gone.push((subject, reason)),
        }
        Ok(())
    }
}

impl Prepared {
    /// Whether everybody was read and nobody was there.
    pub(super) fn found_nobody(&self) -> bool {
        self.summary.entries == 0 && !self.summary.incremental
    }

    fn describe(&self, cause: Cause) -> String {
        match cause {
            Cause::Entry(index) => {
                let dn = self.dns.get(&index).map_or("another entry", String::as_str);
                format!("entry {dn} has it too")
            }
            Cause::Owner(number) => {
                self.owners.get(number as usize).cloned().unwrap_or_else(|| "an account".to_owned())
            }
        }
    }
}
