//! From an EntityDescriptor, alone or among others, to an identity provider.

use super::{Endpoint, IdentityProvider, MetadataChoice};
use crate::clock::Timestamp;
use crate::connector::saml::assertion::moment;
use crate::connector::saml::base64_text::decode;
use crate::connector::saml::code::{SamlCode, SamlRefusal};
use crate::connector::saml::pinned_key::PinnedKey;
use crate::connector::saml::xml::{DS, Element, MD, SAMLP};

/// Reads the chosen entity below `root`.
pub(super) fn read(
    root: &Element<'_>,
    choice: MetadataChoice<'_>,
    now: Timestamp,
) -> Result<IdentityProvider, SamlRefusal> {
    let mut entities = Vec::new();
    collect(root, &[], &mut entities);
    if entities.is_empty() {
        let found = format!("the root element is {} in {:?}", root.local, root.namespace);
        return Err(SamlCode::MetadataStructure.because(format!("no EntityDescriptor; {found}")));
    }
    let (entity, above) = choose(&entities, choice)?;
    let mut roles = roles(entity);
    let (Some(role), None) = (roles.next(), roles.next()) else {
        return Err(SamlCode::MetadataStructure.because(format!(
            "{} has not exactly one IDPSSODescriptor for SAML 2.0",
            entity.attribute("entityID").unwrap_or_default()
        )));
    };
    let valid_until = valid_until(above.iter().copied().chain([entity, role]), now)?;
    let entity_id = entity.attribute("entityID").unwrap_or_default();
    if entity_id.is_empty() || entity_id.len() > 1024 {
        return Err(SamlCode::MetadataEntity.because("the entityID is empty or too long"));
    }
    let (keys, unusable_keys) = keys(role, choice.allow_weak)?;
    let single_sign_on = endpoints(role, "SingleSignOnService");
    if single_sign_on.is_empty() {
        return Err(SamlCode::MetadataEndpoint.because(
            "no SingleSignOnService with HTTP-Redirect or HTTP-POST at an https address",
        ));
    }
    let formats = role.all(MD, "NameIDFormat").filter_map(|it| it.text().ok());
    Ok(IdentityProvider {
        entity_id: entity_id.to_owned(),
        keys,
        single_sign_on,
        single_logout: endpoints(role, "SingleLogoutService"),
        wants_signed_requests: matches!(
            role.attribute("WantAuthnRequestsSigned"),
            Some("true" | "1")
        ),
        name_id_formats: formats.map(|it| it.trim().to_owned()).collect(),
        valid_until,
        unusable_keys,
    })
}

type Entity<'e, 'a> = (&'e Element<'a>, Vec<&'e Element<'a>>);

fn collect<'e, 'a>(
    element: &'e Element<'a>,
    above: &[&'e Element<'a>],
    found: &mut Vec<Entity<'e, 'a>>,
) {
    if element.is(MD, "EntityDescriptor") {
        found.push((element, above.to_vec()));
    } else if element.is(MD, "EntitiesDescriptor") {
        let above = [above, &[element]].concat();
        for inside in element.elements() {
            collect(inside, &above, found);
        }
    }
}

fn choose<'s, 'e, 'a>(
    entities: &'s [Entity<'e, 'a>],
    choice: MetadataChoice<'_>,
) -> Result<&'s Entity<'e, 'a>, SamlRefusal> {
    let id =
        |entity: &Entity<'_, '_>| entity.0.attribute("entityID").unwrap_or_default().to_owned();
    let candidates: Vec<&Entity<'e, 'a>> = match choice.entity_id {
        Some(wanted) => entities.iter().filter(|entity| id(entity) == wanted).collect(),
        None if entities.len() == 1 => entities.iter().collect(),
        None => entities.iter().filter(|entity| roles(entity.0).next().is_some()).collect(),
    };
    match candidates.as_slice() {
        [one] => Ok(one),
        [] => {
            let known: Vec<String> = entities.iter().take(5).map(id).collect();
            Err(SamlCode::MetadataEntity.because(format!(
                "{:?} is not there; the document describes {}",
                choice.entity_id.unwrap_or("an identity provider"),
                known.join(", ")
            )))
        }
        many => {
            let known: Vec<String> = many.iter().take(5).map(|it| id(it)).collect();
            Err(SamlCode::MetadataEntity.because(format!(
                "{} entities, name one with entity_id: {}",
                many.len(),
                known.join(", ")
            )))
        }
    }
}

fn roles<'e, 'a>(entity: &'e Element<'a>) -> impl Iterator<Item = &'e Element<'a>> {
    entity.elements().filter(|it| {
        it.is(MD, "IDPSSODescriptor")
            && it
                .attribute("protocolSupportEnumeration")
                .is_some_and(|list| list.split_ascii_whitespace().any(|one| one == SAMLP))
    })
}

fn valid_until<'e>(
    elements: impl Iterator<Item = &'e Element<'e>>,
    now: Timestamp,
) -> Result<Option<Timestamp>, SamlRefusal> {
    let mut earliest: Option<Timestamp> = None;
    for text in elements.filter_map(|element| element.attribute("validUntil")) {
        let at = moment("validUntil", text)?;
        earliest = Some(earliest.map_or(at, |other| other.min(at)));
    }
    match earliest {
        Some(at) if at <= now => Err(SamlCode::MetadataExpired.because(format!(
            "it was valid until {at}: download it anew from the identity provider"
        ))),
        other => Ok(other),
    }
}

/// Keys for signing: those without a use count, those for encryption do not.
fn keys(
    role: &Element<'_>,
    allow_weak: bool,
) -> Result<(Vec<PinnedKey>, Vec<String>), SamlRefusal> {
    let mut keys: Vec<PinnedKey> = Vec::new();
    let mut unusable = Vec::new();
    for descriptor in role.all(MD, "KeyDescriptor") {
        match descriptor.attribute("use") {
            None | Some("signing") => {}
            Some(_) => continue,
        }
        match certificate(descriptor) {
            None => unusable.push("a KeyDescriptor without X509Certificate".to_owned()),
            Some(Err(problem)) => unusable.push(problem),
            Some(Ok(der)) => match PinnedKey::from_certificate(&der, allow_weak) {
                Ok(key) if !keys.contains(&key) => keys.push(key),
                Ok(_) => {}
                Err(problem) => unusable.push(format!("a certificate {problem}")),
            },
        }
    }
    if !keys.is_empty() {
        return Ok((keys, unusable));
    }
    if unusable.is_empty() {
        return Err(SamlCode::MetadataNoKey
            .because("there is no KeyDescriptor for signing; without a key nobody can sign in"));
    }
    Err(SamlCode::MetadataWeakKey.because(unusable.join("; ")))
}

/// The first certificate: further ones are its chain, whose keys sign no messages.
fn certificate(descriptor: &Element<'_>) -> Option<Result<Vec<u8>, String>> {
    let info = descriptor.all(DS, "KeyInfo").next()?;
    let holder =
        info.all(DS, "X509Data").find(|it| it.all(DS, "X509Certificate").next().is_some())?;
    let element = holder.all(DS, "X509Certificate").next()?;
    let text = element.text().map_err(|refusal| refusal.detail);
    Some(text.and_then(|text| decode(text).map_err(|_| "a certificate is no base64".to_owned())))
}

fn endpoints(role: &Element<'_>, local: &str) -> Vec<Endpoint> {
    role.all(MD, local).filter_map(Endpoint::read).collect()
}
