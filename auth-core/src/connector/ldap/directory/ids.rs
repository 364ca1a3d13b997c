//! Reading the ids of all entries, for a change of the id attribute.

use super::super::bind::Depth;
use super::super::failure::{Failure, FailureKind};
use super::super::filter;
use super::super::population::Pages;
use super::super::population::Reader;
use super::super::subject::SubjectSyntax;
use super::{Directory, Verdict};
use crate::connector::ConnectorError;

/// An entry with its present id and its value of another attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPair {
    /// Distinguished name.
    pub dn: String,
    /// Present id, as a subject.
    pub from: String,
    /// Value of the other attribute as a subject; `None`: it has none that could be one.
    pub to: Option<String>,
}

impl Directory {
    /// All entries below the base that have an id, whether or not they match `user_filter`: those
    /// who left the filter keep their account too.
    pub(in crate::connector::ldap) async fn read_ids(
        &self,
        to: &str,
    ) -> Result<Vec<IdPair>, ConnectorError> {
        let settings = self.settings();
        if !filter::is_attribute(to) {
            let message = format!("{to:?} is no attribute name");
            return Err(Failure::new(FailureKind::SearchFailed, message).into());
        }
        let from = settings.attributes.id.as_str();
        let mut reader = self
            .on_some_server(|server| async move {
                Ok(Verdict::Answer(Reader::open(self, &server).await?))
            })
            .await?;
        let scope = Depth::Configured.scope(settings);
        let present = filter::present(from);
        let request = self.request(&settings.base_dn, scope, &present, &[from, to]);
        let (old, new) = (SubjectSyntax::of(from), SubjectSyntax::of(to));
        let mut pages = Pages::new(&request, "reading ids");
        let mut pairs = Vec::new();
        while let Some(entries) = reader.next_page(&mut pages).await? {
            pairs.extend(entries.into_iter().filter_map(|entry| {
                Some(IdPair {
                    from: old.render(entry.first(from)?)?,
                    to: entry.first(to).and_then(|value| new.render(value)),
                    dn: entry.dn,
                })
            }));
        }
        if pairs.is_empty() {
            let message = format!(
                "no entry below base_dn shows {from}: check attributes.id and the rights of the \
                 service account"
            );
            return Err(Failure::new(FailureKind::SearchFailed, message).into());
        }
        Ok(pairs)
    }
}
