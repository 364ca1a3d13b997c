//! Races of SAML connections: one key is made, one write wins.

use super::race::{Nodes, only_winner, race_all};
use super::{Outcome, cases, sample};
use crate::store::{PendingMetadata, SamlMetadataRecord};
use sample::at;

cases!("saml", RaceCase: a_first_key_is_made_once, metadata_is_replaced_once);

async fn a_first_key_is_made_once(nodes: Nodes) -> Outcome {
    let answers = race_all(&nodes, 16, |store, i| async move {
        store.add_saml_key(sample::saml_key("race", 100 + i), true, vec![]).await
    })
    .await?;
    let winner = only_winner(&answers, "add_saml_key with only_if_none");
    let made = nodes.last().saml_keys("race").await?;
    assert_eq!(made, [sample::saml_key("race", 100 + winner)]);
    Ok(())
}

async fn metadata_is_replaced_once(nodes: Nodes) -> Outcome {
    let made = sample::saml_metadata("race");
    assert!(nodes.first().put_saml_metadata(made.clone(), None, vec![]).await?);
    let record = |i: u32| SamlMetadataRecord {
        pending: Some(PendingMetadata { document: i.to_be_bytes().to_vec(), found_at: at(7) }),
        ..sample::saml_metadata("race")
    };
    let answers = race_all(&nodes, 16, |store, i| async move {
        store.put_saml_metadata(record(i), Some(1), vec![]).await
    })
    .await?;
    let winner = only_winner(&answers, "put_saml_metadata over one version");
    let stored = nodes.last().saml_metadata("race").await?;
    assert_eq!(stored, Some(SamlMetadataRecord { version: 2, ..record(winner) }));
    Ok(())
}
