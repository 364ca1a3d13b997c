//! What is too large to be checked in, made when it is needed: a recipe and how much of it.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::cases::read;

/// Makes what `recipe` says, `count` times; `folder` is that of the hostile cases.
///
/// # Errors
/// The recipe is unknown, or the control that it begins with is not there.
pub fn make(recipe: &str, count: usize, folder: &Path) -> Result<Vec<u8>> {
    let control = read(folder.join("00-control-assertion-signed.xml"))?;
    let control = String::from_utf8(control)?;
    let many = |text: &str| text.repeat(count);
    let numbered = |text: &dyn Fn(usize) -> String| (0..count).map(text).collect::<String>();
    let extended = |content: &str| {
        let content = format!("<samlp:Extensions>{content}</samlp:Extensions><samlp:Status>");
        replaced(&control, "<samlp:Status>", &content)
    };
    let in_root = |attributes: &str| {
        replaced(&control, "<samlp:Response ", &format!("<samlp:Response {attributes} "))
    };
    let name_id = |text: &str| {
        replaced(&control, ">alice@example.org</saml:NameID>", &format!(">{text}</saml:NameID>"))
    };
    let between = |start: &str, end: &str| -> Result<String> {
        let from = control.find(start).context("start")?;
        let to = control.find(end).context("end")? + end.len();
        control.get(from..to).map(str::to_owned).context("a part of the control")
    };
    let text = match recipe {
        "comment" => extended(&format!("<!--{}-->", many("x")))?,
        "text" => extended(&format!("<x xmlns=\"urn:x\">{}</x>", many("x")))?,
        "body" => format!("SAMLResponse={}", many("A")),
        "blanks" => format!("{}{}", STANDARD.encode(&control), many("\n")),
        "depth" => extended(&format!("{}{}", many("<x xmlns=\"urn:x\">"), many("</x>")))?,
        "elements" => extended(&many("<x xmlns=\"urn:x\"/>"))?,
        "attributes" => in_root(&numbered(&|n| format!(" a{n}=\"\"")))?,
        "namespaces" => in_root(&numbered(&|n| format!(" xmlns:n{n}=\"urn:n{n}\"")))?,
        "nested-namespaces" => {
            let level: String = (0..60).map(|n| format!(" xmlns:n{n}=\"urn:n{n}\"")).collect();
            extended(&format!("{}{}", many(&format!("<x{level}>")), many("</x>")))?
        }
        "signatures" => {
            let signature = between("<ds:Signature ", "</ds:Signature>")?;
            replaced(&control, &signature, &many(&signature))?
        }
        "references" => {
            let reference = between("<ds:Reference ", "</ds:Reference>")?;
            replaced(&control, &reference, &many(&reference))?
        }
        "assertions" => replaced(
            &control,
            "</samlp:Response>",
            &format!(
                "{}</samlp:Response>",
                numbered(&|n| format!(
                    "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_n{n}\"/>"
                ))
            ),
        )?,
        "encrypted-keys" => {
            let assertion = between("<saml:Assertion ", "</saml:Assertion>")?;
            let sealed = read(folder.join("26-control-aes256-gcm.xml"))?;
            let sealed = String::from_utf8(sealed)?;
            let from = sealed.find("<saml:EncryptedAssertion").context("EncryptedAssertion")?;
            let to = sealed.find("</samlp:Response>").context("the end")?;
            let sealed = sealed.get(from..to).context("EncryptedAssertion")?;
            let from = sealed.find("<xenc:EncryptedKey").context("EncryptedKey")?;
            let end = "</xenc:EncryptedKey>";
            let to = sealed.find(end).context("EncryptedKey")? + end.len();
            let key = sealed.get(from..to).context("EncryptedKey")?;
            replaced(&control, &assertion, &replaced(sealed, key, &many(key))?)?
        }
        // All of one length and with few letters: a weak hash puts them into one place.
        "colliding-names" => in_root(&numbered(&|n| {
            let name: String =
                (0..12).map(|bit| if n >> bit & 1 == 0 { "Aa" } else { "BB" }).collect();
            format!(" {name}=\"\"")
        }))?,
        "long-name" => extended(&format!("<{} xmlns=\"urn:x\"/>", many("x")))?,
        "long-id" => control.replace("_assertion-1", &many("a")),
        "long-attribute" => in_root(&format!("Consent=\"{}\"", many("x")))?,
        "references-to-characters" => name_id(&many("&#97;"))?,
        "cdata-sections" => name_id(&many("<![CDATA[]]>"))?,
        "open-tags" => many("<x>"),
        "unclosed-quote" => format!("<samlp:Response a=\"{}", many("x")),
        "inclusive-prefixes" => replaced(
            &control,
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>",
            &format!(
                "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">\
                 <ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" \
                 PrefixList=\"{}\"/></ds:Transform>",
                numbered(&|n| format!("p{n} "))
            ),
        )?,
        "modulus" => replaced(
            &control,
            "</ds:Signature>",
            &format!(
                "<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{}</ds:Modulus>\
                 <ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>\
                 </ds:Signature>",
                many("A")
            ),
        )?,
        "attribute-name" => in_root(&format!("{}=\"x\"", many("a")))?,
        "prefix" => in_root(&format!("xmlns:{}=\"urn:x\"", many("p")))?,
        "namespace" => in_root(&format!("xmlns:p=\"urn:{}\"", many("x")))?,
        "metadata" => format!(
            "<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">{}",
            many("x")
        ),
        "deflate-bomb" => return bomb(count),
        unknown => bail!("the recipe {unknown} is unknown"),
    };
    Ok(text.into_bytes())
}

/// A redirect query whose message inflates to `count` bytes.
fn bomb(count: usize) -> Result<Vec<u8>> {
    // One block, closed to the byte, stands for all of them: nothing in it refers to what is before.
    let block = vec![b' '; 1 << 20];
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&block)?;
    encoder.flush()?;
    let closed = encoder.get_ref().clone();
    let mut deflated = closed.repeat(count / block.len());
    // An empty last block.
    deflated.extend([0x03, 0x00]);
    let packed = STANDARD.encode(deflated);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("SAMLRequest", &packed)
        .append_pair("SigAlg", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
        .append_pair("Signature", "AAAA")
        .finish();
    Ok(query.into_bytes())
}

fn replaced(text: &str, old: &str, new: &str) -> Result<String> {
    if text.matches(old).count() != 1 {
        bail!("{old:?} does not stand exactly once in the control");
    }
    Ok(text.replace(old, new))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::DeflateDecoder;

    use super::*;

    #[test]
    fn a_bomb_inflates_to_what_it_says() {
        let query = bomb(3 << 20).unwrap();
        let message = url::form_urlencoded::parse(&query).next().unwrap().1.into_owned();
        let deflated = STANDARD.decode(message).unwrap();
        let mut inflated = Vec::new();
        DeflateDecoder::new(deflated.as_slice()).read_to_end(&mut inflated).unwrap();
        assert_eq!(inflated.len(), 3 << 20);
        assert!(deflated.len() < 10_000 && inflated.iter().all(|byte| *byte == b' '));
    }
}
