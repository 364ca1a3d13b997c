//! The identity provider of the SAML tests: it starts, gives metadata, knows the service providers
//! that it is told of, and is gone afterwards.

use auth_tests::harness::simplesamlphp::{PEOPLE, SimpleSamlPhp, SimpleSamlPhpOptions};

const SP: &str = concat!(
    r#"<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" "#,
    r#"entityID="https://sso.example.com/saml/corp/metadata"><md:SPSSODescriptor "#,
    r#"protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">"#,
    r#"<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" "#,
    r#"Location="https://sso.example.com/saml/corp/acs" index="0"/></md:SPSSODescriptor>"#,
    r#"</md:EntityDescriptor>"#
);

#[tokio::test]
async fn the_identity_provider_gives_metadata_and_asks_for_a_password() {
    let mut idp = SimpleSamlPhp::start().await.unwrap();
    let metadata = idp.metadata().await.unwrap();
    assert!(metadata.contains(&format!("entityID=\"{}\"", idp.entity_id())), "{metadata}");
    assert!(metadata.contains("IDPSSODescriptor") && metadata.contains("X509Certificate"));

    let entity = "https://sso.example.com/saml/corp/metadata";
    let unsolicited = idp.unsolicited_url(entity, "deep");
    let unknown = reqwest::get(&unsolicited).await.unwrap().text().await.unwrap();
    assert!(!unknown.contains("name=\"password\""), "a service provider that nobody told of");
    idp.trust("corp", SP).unwrap();
    let response = sign_in(&unsolicited).await;
    assert!(response.contains("name=\"SAMLResponse\""), "{response}\n{}", idp.log());
    assert!(response.contains("https://sso.example.com/saml/corp/acs"), "{response}");

    idp.set(SimpleSamlPhpOptions { sign_response: false, ..idp.options().clone() }).unwrap();
    let address = reqwest::Url::parse(&idp.url()).unwrap();
    drop(idp);
    let there = (address.host_str().unwrap(), address.port().unwrap());
    assert!(std::net::TcpStream::connect(there).is_err(), "it still answers");
}

/// Follows to the form, fills it in, and gives the page that would post to the service provider.
async fn sign_in(url: &str) -> String {
    let browser = reqwest::Client::builder().cookie_store(true).build().unwrap();
    let page = browser.get(url).send().await.unwrap();
    let address = page.url().clone();
    let form = page.text().await.unwrap();
    let state = form.split("name=\"AuthState\" value=\"").nth(1).expect("AuthState");
    let state = state.split('"').next().unwrap().replace("&amp;", "&");
    let (user, password, ..) = PEOPLE[0];
    let fields = [("username", user), ("password", password), ("AuthState", &state)];
    let answer = browser.post(address).form(&fields).send().await.unwrap();
    answer.text().await.unwrap()
}
