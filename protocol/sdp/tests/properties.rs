//! No text from outside hurts, and whatever is taken is well formed.

mod common;

use common::{ANSWER, FRAGMENT, OFFERS, OUR_OFFER, check, policy};
use proptest::prelude::*;
use proptest::sample::Index;
use sightline_sdp::candidate::{advertise, advertise_description, is_usable};
use sightline_sdp::{Answer, Flow, Fragment, Offer};

/// One thing that is done to a text.
#[derive(Debug, Clone)]
enum Change {
    Delete(Index),
    Repeat(Index),
    Swap(Index, Index),
    /// A line of one client in the text of another.
    Insert(Index, usize, Index),
    /// A word of a line, by another or by garbage.
    Word(Index, Index, String),
    Byte(Index, u8),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        index().prop_map(Change::Delete),
        index().prop_map(Change::Repeat),
        (index(), index()).prop_map(|(one, other)| Change::Swap(one, other)),
        (index(), 0..OFFERS.len(), index()).prop_map(|(to, client, from)| Change::Insert(to, client, from)),
        (index(), index(), "[0-9]{1,6}|[a-z]{1,9}|\\PC{0,6}")
            .prop_map(|(line, word, by)| Change::Word(line, word, by)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        index().prop_map(Change::Cut),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut text = text.to_owned();
    for change in changes {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.is_empty() {
            return text;
        }
        let count = lines.len();
        match change {
            Change::Delete(line) => drop(lines.remove(line.index(count))),
            Change::Repeat(line) => lines.push(lines[line.index(count)].clone()),
            Change::Swap(one, other) => lines.swap(one.index(count), other.index(count)),
            Change::Insert(to, client, from) => {
                let foreign: Vec<_> = OFFERS[*client].1.lines().collect();
                lines.insert(to.index(count), foreign[from.index(foreign.len())].to_owned());
            }
            Change::Word(line, word, by) => {
                let line = &mut lines[line.index(count)];
                let words: Vec<_> = line.split([' ', ':', '=']).collect();
                let word = words[word.index(words.len())].to_owned();
                *line = line.replacen(&word, by, 1);
            }
            Change::Byte(at, byte) => {
                let mut bytes = text.into_bytes();
                let at = at.index(bytes.len());
                bytes[at] = *byte;
                text = String::from_utf8_lossy(&bytes).into_owned();
                continue;
            }
            Change::Cut(at) => {
                text = text.chars().take(at.index(text.len())).collect();
                continue;
            }
        }
        text = lines.join("\r\n");
    }
    text
}

fn offer_holds(text: &str, flow: Flow) -> Result<(), TestCaseError> {
    let policy = policy(flow);
    match Offer::parse(text, &policy) {
        Ok(offer) => {
            check(offer.text()).map_err(TestCaseError::fail)?;
            let again = Offer::parse(offer.text(), &policy)
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(offer.text(), again.text());
        }
        Err(refusal) => prop_assert!(refusal.to_string().len() < 2000),
    }
    Ok(())
}

fn answer_holds(text: &str) -> Result<(), TestCaseError> {
    if let Ok(answer) = Answer::parse(text, OUR_OFFER) {
        check(answer.text()).map_err(TestCaseError::fail)?;
        let again = Answer::parse(answer.text(), OUR_OFFER)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(answer.text(), again.text());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn changed_offers(client in 0..OFFERS.len(), changes in prop::collection::vec(change(), 1..6)) {
        let (_, text, flow) = OFFERS[client];
        offer_holds(&changed(text, &changes), flow)?;
    }

    #[test]
    fn changed_answers(changes in prop::collection::vec(change(), 1..6)) {
        answer_holds(&changed(ANSWER, &changes))?;
        drop(Answer::parse(ANSWER, &changed(OUR_OFFER, &changes)));
    }

    #[test]
    fn changed_fragments(changes in prop::collection::vec(change(), 1..6)) {
        if let Ok(fragment) = Fragment::parse(&changed(FRAGMENT, &changes)) {
            prop_assert!(fragment.candidates.len() <= 20);
            for trickled in &fragment.candidates {
                prop_assert!(is_usable(&trickled.candidate));
            }
        }
    }

    #[test]
    fn arbitrary_text(text in "(v=0\r\n)?([a-z]=[ -~]{0,30}\r\n|\\PC{0,60}|[\\x00-\\xff]{0,20}){0,12}") {
        offer_holds(&text, Flow::ClientSends)?;
        answer_holds(&text)?;
        drop(Fragment::parse(&text));
        let public = ["203.0.113.9".parse().unwrap(), "203.0.113.10".parse().unwrap()];
        drop((is_usable(&text), advertise(&text, &public), advertise_description(&text, &public)));
    }
}
