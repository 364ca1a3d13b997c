//! Finding a person's stable id by what they would type, without a password: for an administrator
//! who moves accounts here.

use super::bind;
use super::directory::{Directory, Found, Verdict};
use super::person::Person;
use super::subject::SubjectSyntax;
use crate::connector::{ConnectorError, Refusal};

impl Directory {
    /// The subject that another program's writing of the stable id means.
    pub(super) fn canonical_subject(&self, written: &str) -> Option<String> {
        SubjectSyntax::of(&self.settings().attributes.id).canonical(written)
    }

    /// The stable id of the one person with this name; `None` when there is none.
    pub(super) async fn subject_of(&self, name: &str) -> Result<Option<String>, ConnectorError> {
        // The plan of a login wants a password; none is sent anywhere here.
        let plan = bind::plan(self.settings(), name, "unused").map_err(ConnectorError::refused)?;
        let plan = &plan;
        self.on_some_server(|server| async move {
            Ok(match self.find(&server, plan).await? {
                Found::None(_) => Verdict::Answer(None),
                Found::Several(_) => {
                    Verdict::Refused(ConnectorError::refused(Refusal::AmbiguousUser))
                }
                Found::One(entry) => {
                    match Person::from_entry(&entry, &self.settings().attributes) {
                        Ok(person) => Verdict::Answer(Some(person.subject)),
                        Err(error) => Verdict::Refused(error.into()),
                    }
                }
            })
        })
        .await
    }
}
