//! The hand-off to Mattermost and others: the GitLab-compatible provider, and what is told to
//! clients afterwards.

mod adoption;
mod bulk;
mod causes;
mod events;
mod protocol;
mod push;
mod sign_in;
mod site;
