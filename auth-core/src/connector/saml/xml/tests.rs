//! The strict parser, the writer and canonical forms.

use proptest::prelude::*;

use super::*;

fn root(text: &str) -> Element<'_> {
    match parse(text.as_bytes(), &Limits::MESSAGE) {
        Ok(element) => element,
        Err(refusal) => panic!("{text:?}: {refusal}"),
    }
}

fn refused(text: impl AsRef<[u8]>) -> SamlCode {
    let text = text.as_ref();
    match parse(text, &Limits::MESSAGE) {
        Ok(element) => panic!("{:?} was read: {element:?}", String::from_utf8_lossy(text)),
        Err(refusal) => refusal.code,
    }
}

#[test]
fn what_is_read_is_what_stands_there() {
    let element = root(
        "<?xml version='1.0' encoding='utf-8'?>\n<p:a xmlns:p=\"urn:p\" b='1&lt;&#x9;\n2' p:c=\"\">\
         x&amp;<![CDATA[<y>&]]>z\r\nw<b xmlns=\"urn:d\"/>&#13;</p:a>\n",
    );
    assert!(element.is("urn:p", "a"));
    assert_eq!(element.attribute("b"), Some("1<\t 2"));
    assert_eq!(element.attribute("c"), None, "it has a prefix");
    assert_eq!(element.attributes[1].namespace, "urn:p");
    let [Node::Text(before), Node::Element(inner), Node::Text(after)] = element.children.as_slice()
    else {
        panic!("{element:?}");
    };
    assert_eq!((before.as_ref(), after.as_ref()), ("x&<y>&z\nw", "\r"));
    assert!(inner.is("urn:d", "b"));
    assert_eq!(element.text().unwrap_err().code, SamlCode::MixedText);
    assert_eq!(root("<a>x&amp;<![CDATA[y]]>&#122;</a>").text(), Ok("x&yz"), "one text");
    assert_eq!(root("<a/>").text(), Ok(""));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for text in [
        "",
        " ",
        "x",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a",
        "<a b/>",
        "<a b=c/>",
        "<a b='1' b='2'/>",
        "<a b='1'c='2'/>",
        "<a b='<'/>",
        "<a b='1/>",
        "<a>]]></a>",
        "<a>&nbsp;</a>",
        "<a>&</a>",
        "<a>&amp</a>",
        "<a b='&x;'/>",
        "<a b='&amp'/>",
        "<1/>",
        "<a:/>",
        "<:a/>",
        "<a:b:c/>",
        "<a></a b='1'>",
        "< a/>",
        "<a / >",
        "<a><![CDATA[x</a>",
        "<?xml version='1.1'?><a/>",
        "<?xml encoding='utf-8'?><a/>",
        "<?xml version='1.0' x='y'?><a/>",
        "<a xmlns:p='urn:p' xmlns:q='urn:p' p:b='1' q:b='2'/>",
        "<a xmlns='urn:x' xmlns='urn:y'/>",
    ] {
        assert_eq!(refused(text), SamlCode::MalformedXml, "{text:?}");
    }
}

#[test]
fn what_parsers_differ_about_is_refused() {
    use SamlCode as C;
    for (text, code) in [
        ("<!DOCTYPE a><a/>", C::Doctype),
        ("<!doctype a><a/>", C::Doctype),
        ("<a><!ENTITY x 'y'></a>", C::Doctype),
        ("<a><!-- --></a>", C::Comment),
        ("<!-- --><a/>", C::Comment),
        ("<a/><!-- -->", C::Comment),
        ("<a><?x y?></a>", C::ProcessingInstruction),
        ("<?xml-stylesheet href='x'?><a/>", C::ProcessingInstruction),
        (" <?xml version='1.0'?><a/>", C::ProcessingInstruction),
        ("<a><?xml version='1.0'?></a>", C::ProcessingInstruction),
        ("<?xml version='1.0' encoding='utf-16'?><a/>", C::Encoding),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", C::Encoding),
        ("\u{feff}<a/>", C::Encoding),
        ("<a>\u{1}</a>", C::Character),
        ("<a>\u{ffff}</a>", C::Character),
        ("<a>&#0;</a>", C::Character),
        ("<a>&#x1F;</a>", C::Character),
        ("<a>&#xD800;</a>", C::Character),
        ("<a>&#x110000;</a>", C::Character),
        ("<a>&#99999999999;</a>", C::Character),
        ("<a>&#;</a>", C::Character),
        ("<a>&#x;</a>", C::Character),
        ("<a>&#+65;</a>", C::Character),
        ("<p:a/>", C::Namespace),
        ("<a p:b='1'/>", C::Namespace),
        ("<a xmlns:p='urn:p'><b/></a><p:c/>", C::MalformedXml),
        ("<a><b xmlns:p='urn:p'/><p:c/></a>", C::Namespace),
        ("<a xmlns:p=''/>", C::Namespace),
        ("<a xmlns:xml='urn:x'/>", C::Namespace),
        ("<a xmlns:xmlns='urn:x'/>", C::Namespace),
        ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", C::Namespace),
        ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", C::Namespace),
        ("<xmlns:a/>", C::Namespace),
        ("<a xml:base='http://x/'/>", C::Namespace),
        ("<a xmlns='relative'/>", C::RelativeNamespace),
        ("<a xmlns:p='/x'/>", C::RelativeNamespace),
        ("<a xmlns:p='1:x'/>", C::RelativeNamespace),
        ("<a xmlns:p='urn: x'/>", C::RelativeNamespace),
        ("<a xml:id='x'/>", C::IdAttribute),
        ("<a xmlns:p='urn:p' p:Id='x'/>", C::IdAttribute),
        ("<a ID='x' Id='y'/>", C::IdAttribute),
        ("<a ID='1x'/>", C::IdAttribute),
        ("<a ID='x y'/>", C::IdAttribute),
        ("<a ID=''/>", C::IdAttribute),
        ("<a ID='x'><b ID='x'/></a>", C::DuplicateId),
        ("<a ID='x'><b id='x'/></a>", C::DuplicateId),
    ] {
        assert_eq!(refused(text), code, "{text:?}");
    }
    let wide: Vec<u8> = "<a/>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(refused(wide), C::Encoding);
    assert_eq!(refused(b"<a>\xff</a>"), C::Encoding);
    assert_eq!(refused(b"+ADw-a/+AD4-"), C::MalformedXml, "UTF-7 is text to us");
}

#[test]
fn limits_hold_before_a_tree_is_built() {
    let deep = |levels: usize| "<a>".repeat(levels) + &"</a>".repeat(levels);
    assert_eq!(refused(deep(41)), SamlCode::TooComplex);
    root(&deep(40));
    let wide = |elements: usize| format!("<a>{}</a>", "<b/>".repeat(elements - 1));
    assert_eq!(refused(wide(5001)), SamlCode::TooComplex);
    root(&wide(5000));
    let many = |attributes: usize| {
        let all: String = (0..attributes).map(|n| format!(" a{n}='='")).collect();
        format!("<a{all}/>")
    };
    assert_eq!(refused(many(65)), SamlCode::TooComplex);
    root(&many(64));
    let declared = |levels: usize| {
        let one = |n: usize| format!("<a xmlns:a{n}='urn:a' xmlns:b{n}='urn:b'>");
        (0..levels).map(one).collect::<String>() + &"</a>".repeat(levels)
    };
    let siblings = format!("<a>{}</a>", declared(30).repeat(10));
    root(&siblings);
    let many = (0..4).map(|n| {
        let all: String = (0..33).map(|m| format!(" xmlns:p{n}x{m}='urn:p'")).collect();
        format!("<a{all}>")
    });
    let many = many.collect::<String>() + &"</a>".repeat(4);
    assert_eq!(refused(many), SamlCode::TooComplex, "132 in scope at once");
    assert_eq!(refused("a".repeat(256 * 1024 + 1)), SamlCode::TooLarge);
    assert_eq!(refused("<a>".repeat(80_000)), SamlCode::TooComplex);
}

#[test]
fn metadata_may_have_comments_and_their_neighbours_are_one_text() {
    let text = "<!-- x --><a>b<!-- <c> -->d</a>";
    assert_eq!(parse(text.as_bytes(), &Limits::METADATA).unwrap().text(), Ok("bd"));
    assert_eq!(
        parse(b"<a><!-- x</a>", &Limits::METADATA).unwrap_err().code,
        SamlCode::MalformedXml
    );
}

#[test]
fn a_fragment_is_read_where_it_stands() {
    let declarations = [Declaration { prefix: "p", uri: "urn:p".into() }];
    let element = parse_fragment(b"<p:a/>", &Limits::MESSAGE, &declarations).unwrap();
    assert!(element.is("urn:p", "a"));
    let refusal = parse_fragment(b"<q:a/>", &Limits::MESSAGE, &declarations).unwrap_err();
    assert_eq!(refusal.code, SamlCode::Namespace);
}

#[test]
fn exclusive_canonical_forms() {
    let check = |text: &str, prefixes: &[&str], expected: &str| {
        let element = root(text);
        let inner = element.elements().next().unwrap();
        let prefixes = prefixes.iter().map(|&it| it.to_owned()).collect();
        let method = Canonicalization::Exclusive(prefixes);
        assert_eq!(canonical(inner, &[&element], &method, None), expected, "{text}");
    };
    // Exclusive XML Canonicalization 1.0, section 2.2.
    check(
        "<n0:local xmlns:n0='http://something' xmlns:n3='ftp://example.org'>\
         <n1:elem2 xmlns:n1='http://example.net' xml:lang='en'><n3:stuff/></n1:elem2></n0:local>",
        &[],
        "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\">\
         <n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>",
    );
    let inherited = "<a xmlns='urn:d' xmlns:p='urn:p' xmlns:q='urn:q' xml:lang='de'>\
                     <p:b z='1' q:y='2' a='3'><c xmlns=''/><c/></p:b></a>";
    check(
        inherited,
        &[],
        "<p:b xmlns:p=\"urn:p\" xmlns:q=\"urn:q\" a=\"3\" z=\"1\" q:y=\"2\"><c></c>\
         <c xmlns=\"urn:d\"></c></p:b>",
    );
    check(
        inherited,
        &["", "nowhere"],
        "<p:b xmlns=\"urn:d\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q\" a=\"3\" z=\"1\" q:y=\"2\">\
         <c xmlns=\"\"></c><c></c></p:b>",
    );
}

#[test]
fn inclusive_canonical_forms() {
    let element = root(
        "<a xmlns='urn:d' xmlns:p='urn:p' xmlns:q='urn:q' xml:lang='de' xml:space='preserve'>\
         <b xml:lang='en' q:x='&quot;&#9;&#10;&#13;&lt;>'>&gt;&#13;&amp;\"<c xmlns='urn:d' \
         xmlns:p='urn:other'/></b></a>",
    );
    let inner = element.elements().next().unwrap();
    let out = canonical(inner, &[&element], &Canonicalization::Inclusive, None);
    assert_eq!(
        out,
        "<b xmlns=\"urn:d\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q\" xml:lang=\"en\" \
         xml:space=\"preserve\" q:x=\"&quot;&#x9;&#xA;&#xD;&lt;>\">&gt;&#xD;&amp;\"\
         <c xmlns:p=\"urn:other\"></c></b>"
    );
    let c = inner.elements().next();
    let without = canonical(inner, &[&element], &Canonicalization::Inclusive, c);
    assert!(!without.contains("<c") && without.ends_with("\"</b>"), "{without}");
}

/// Trees as text: names of two namespaces, nasty characters, declarations at every level.
fn tree() -> impl Strategy<Value = String> {
    let text = "[ -~é\u{10348}\r\n\t]{0,12}";
    let leaf = text.prop_map(|text| {
        let mut out = String::new();
        escape_text(&mut out, &text);
        out
    });
    leaf.prop_recursive(5, 40, 4, |inner| {
        let name = prop_oneof!["a", "b", "p:a", "q:b"];
        let value = "[ -~é\r\n\t]{0,8}";
        let declared = prop_oneof![
            Just(""),
            Just(" xmlns=\"urn:d\""),
            Just(" xmlns=\"\""),
            Just(" xmlns:p=\"urn:r\""),
            Just(" xmlns:q=\"urn:p\" xml:lang=\"de\""),
        ];
        (name, value, declared, prop::collection::vec(inner, 0..4)).prop_map(
            |(name, value, declared, inner)| {
                let mut out = format!("<{name}{declared} x");
                super::write::write_value(&mut out, &value);
                out.push('>');
                out.extend(inner);
                out.push_str(&format!("</{name}>"));
                out
            },
        )
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_and_has_the_same_canonical_form(inner in tree()) {
        let text = format!("<r xmlns:p='urn:p' xmlns:q='urn:q'>{inner}</r>");
        let element = root(&text);
        let written = write(&element);
        let again = root(&written);
        prop_assert_eq!(&element, &again);
        for method in [
            Canonicalization::Inclusive,
            Canonicalization::Exclusive(vec![]),
            Canonicalization::Exclusive(vec!["p".to_owned(), String::new()]),
        ] {
            let before = canonical(&element, &[], &method, None);
            prop_assert_eq!(&before, &canonical(&again, &[], &method, None));
            // A canonical form is its own canonical form, read anew.
            let third = root(&before);
            prop_assert_eq!(&before, &canonical(&third, &[], &method, None));
        }
    }

    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &Limits::MESSAGE);
    }

    #[test]
    fn markup_makes_it_not_panic(text in "[<>/!?='\" a-cx:;&#\\[\\]-]{0,80}") {
        if let Ok(element) = parse(text.as_bytes(), &Limits::MESSAGE) {
            let written = write(&element);
            prop_assert_eq!(parse(written.as_bytes(), &Limits::MESSAGE), Ok(element));
        }
    }
}
