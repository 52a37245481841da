use proptest::prelude::*;

use super::*;

const TEXT: &str = r#"
  webrtcbin name=webrtc bundle-policy=max-bundle
  webrtc. ! rtpvideodec ! video/x-raw, framerate={fps}/1 ! queue name="the queue" ! sink.sink_0
  textoverlay text="a = b ! fakesink" halignment = left ! mux. tee.src_0!fakesink
"#;

#[test]
fn elements_and_their_properties() {
    let elements = elements(TEXT);
    let factories: Vec<_> = elements.iter().map(|element| element.factory.as_str()).collect();
    assert_eq!(
        factories,
        ["webrtcbin", "rtpvideodec", "queue", "textoverlay", "fakesink"]
    );
    assert_eq!(elements[0].name.as_deref(), Some("webrtc"));
    assert_eq!(elements[0].property("bundle-policy"), Some("max-bundle"));
    assert_eq!(elements[2].name.as_deref(), Some("the queue"));
    assert_eq!(elements[3].property("text"), Some("a = b ! fakesink"));
    assert_eq!(elements[3].property("halignment"), Some("left"));
}

fn shown(launch: &Launch, end: Option<&End>) -> String {
    end.map_or_else(String::new, |end| {
        let node = match &end.node {
            Node::Element(index) => launch.elements[*index].factory.clone(),
            Node::Named(name) => format!("{name}."),
        };
        node + end.pad.as_deref().unwrap_or_default()
    })
}

fn links(text: &str) -> Vec<String> {
    let launch = read(text);
    let link = |link: &Link| {
        let caps = link.caps.clone().map_or("", |caps| &text[caps]);
        format!(
            "{} >{caps}> {}",
            shown(&launch, link.from.as_ref()),
            shown(&launch, link.to.as_ref())
        )
    };
    launch.links.iter().map(link).collect()
}

#[test]
fn links_and_what_stands_between() {
    assert_eq!(
        links(TEXT),
        [
            "webrtc. >> rtpvideodec",
            "rtpvideodec >video/x-raw, framerate={fps}/1> queue",
            "queue >> sink.sink_0",
            "textoverlay >> mux.",
            "tee.src_0 >> fakesink",
        ]
    );
    assert_eq!(links("a .src ! .sink b ! c"), ["asrc >> bsink", "b >> c"]);
    assert_eq!(links("a ! x.in ! b"), ["a >> x.in", "x. >> b"]);
    assert_eq!(links("! a ! ! b !"), [" >> a", "a >> ", " >> b", "b >> "]);
    assert_eq!(links("a ! video/x-raw"), ["a >video/x-raw> "]);
}

#[test]
fn what_is_left_to_gstreamer() {
    for text in [
        "( a ! b ) ! c",
        "x.( a ! b )",
        "http://h/a=b ! c",
        "file:///a ! b",
        "name=x a ! b",
    ] {
        assert!(!read(text).complete, "{text}");
    }
    assert!(read(TEXT).complete);
}

#[test]
fn values_lose_their_quotes() {
    for (text, value) in [
        ("a", "a"),
        ("\"a b\"", "a b"),
        ("'a b'", "a b"),
        ("a\\ b", "a b"),
        ("a\\\\b", "a\\b"),
        ("\"", "\""),
        ("", ""),
    ] {
        assert_eq!(lexer::unquoted(text), value, "{text}");
    }
}

#[test]
fn placeholders_are_filled_and_remember_where_they_stood() {
    assert_eq!(placeholders(TEXT).len(), 1);
    let filled = fill(TEXT, |name| (name == "fps").then(|| "30".to_owned())).unwrap();
    assert!(filled.text.contains("framerate=30/1"));
    for word in ["webrtcbin", "queue", "textoverlay", "tee"] {
        let at = filled.text.find(word).unwrap();
        assert_eq!(filled.origin(at), TEXT.find(word).unwrap(), "{word}");
    }
    let at = filled.text.find("30/1").unwrap();
    assert_eq!(filled.origin(at + 1), TEXT.find("{fps}").unwrap());
    assert_eq!(fill(TEXT, |_| None).unwrap_err(), "fps");
}

#[test]
fn doubled_braces_stand_for_themselves() {
    let text = "overlay label-format=\"{{label}} {fps}\" caps={{fps}/1,{ I420 }} {{fps {fps}} {}";
    assert_eq!(placeholders(text).len(), 3);
    let filled = fill(text, |name| (name == "fps").then(|| "30".to_owned())).unwrap();
    assert_eq!(
        filled.text,
        "overlay label-format=\"{label} 30\" caps={30/1,{ I420 }} {{fps 30} {}"
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-c!:.(){}=/\\\\\"' é]{0,40}|\\PC*") {
        let launch = read(&text);
        for span in launch.elements.iter().map(|element| element.span.clone()) {
            prop_assert!(text.get(span).is_some());
        }
        drop((placeholders(&text), fill(&text, |_| Some("x".into()))));
    }
}
