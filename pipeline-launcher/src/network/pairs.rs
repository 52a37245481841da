//! The pairs of candidates that an ICE agent tried, read from libnice's debug messages. Plain text in, a table out.
//!
//! libnice has no other way to tell. Where a version of it says something else, the table has fewer rows, never wrong
//! ones; whether the connection works is known without it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

/// A pair and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The peer's side: type, and address with port.
    pub peer: Candidate,
    /// The session's side.
    pub session: Candidate,
    pub state: State,
    /// Media goes this way.
    pub selected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// As in SDP: host, srflx, prflx or relay.
    pub kind: String,
    pub address: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not tried.
    Waiting,
    /// Tried, without an answer so far.
    InProgress,
    Succeeded,
    Failed,
}

impl State {
    /// What it means, unless it succeeded. `connected`: another pair works.
    pub fn reason(self, connected: bool) -> &'static str {
        match (self, connected) {
            (Self::Succeeded, _) => "works",
            (Self::Waiting | Self::InProgress, true) => "not needed: a better pair works",
            (Self::Waiting, false) => "not tried in time",
            (Self::InProgress | Self::Failed, _) => "no answer to its checks",
        }
    }

    /// As libnice's table of pairs abbreviates it; flags may follow.
    fn of_letter(letter: char) -> Option<Self> {
        match letter {
            'F' => Some(Self::Failed),
            'I' => Some(Self::InProgress),
            'S' | 'D' => Some(Self::Succeeded),
            'W' | 'Z' => Some(Self::Waiting),
            _ => None,
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        match name {
            "FAILED" => Some(Self::Failed),
            "IN_PROGRESS" => Some(Self::InProgress),
            "SUCCEEDED" | "DISCOVERED" => Some(Self::Succeeded),
            "WAITING" | "FROZEN" => Some(Self::Waiting),
            _ => None,
        }
    }
}

/// Pairs by libnice's name for them, which is an address in memory.
#[derive(Debug, Default)]
pub struct Table {
    pairs: BTreeMap<String, Pair>,
    /// The addresses of the candidates that were selected last: ours, and the session's.
    selected: [Option<String>; 2],
}

impl Table {
    /// Takes one debug message.
    pub fn read(&mut self, message: &str) {
        if let Some((side, rest)) = message.split_once(" selected pair: ") {
            let address = rest.split(' ').nth(3).and_then(endpoint);
            self.selected[usize::from(side.ends_with("Remote"))] = address;
            return;
        }
        let Some((name, rest)) = message
            .split_once(" : pair ")
            .and_then(|(_, rest)| rest.split_once(' '))
        else {
            return;
        };
        if let Some(row) = rest.strip_prefix(": f=") {
            if let Some(pair) = read_row(row) {
                self.pairs.insert(name.to_owned(), pair);
            }
        } else if let Some(rest) = rest.strip_prefix("state ") {
            let state = rest.split(' ').next().and_then(State::of_name);
            if let (Some(pair), Some(state)) = (self.pairs.get_mut(name), state) {
                pair.state = state;
            }
        }
    }

    /// True if nothing more will happen to any pair.
    pub fn is_settled(&self) -> bool {
        let over = |pair: &Pair| matches!(pair.state, State::Succeeded | State::Failed);
        !self.pairs.is_empty() && self.pairs.values().all(over)
    }

    /// The best first.
    pub fn pairs(self) -> Vec<Pair> {
        let [peer, session] = self.selected;
        let mut pairs: Vec<_> = self.pairs.into_values().collect();
        for pair in &mut pairs {
            pair.selected =
                Some(&pair.peer.address) == peer.as_ref() && Some(&pair.session.address) == session.as_ref();
        }
        pairs.sort_by_key(|pair| {
            (
                !pair.selected,
                pair.state != State::Succeeded,
                pair.peer.address.clone(),
            )
        });
        pairs
    }
}

/// `1:1 t=host:host sock=udp udp:[192.0.2.2]:41705 > udp:[203.0.113.9]:12000 prio=… state=W`
fn read_row(row: &str) -> Option<Pair> {
    let value = |name: &str| row.split(' ').find_map(|word| word.strip_prefix(name));
    let (peer, session) = value("t=")?.split_once(':')?;
    let (before, after) = row.split_once(" > ")?;
    let candidate = |kind: &str, address: &str| {
        Some(Candidate {
            kind: kind_of(kind).to_owned(),
            address: endpoint(address)?,
        })
    };
    Some(Pair {
        peer: candidate(peer, before.rsplit(' ').next()?)?,
        session: candidate(session, after.split(' ').next()?)?,
        state: State::of_letter(value("state=")?.chars().next()?)?,
        selected: false,
    })
}

fn kind_of(name: &str) -> &str {
    match name {
        "srv-rflx" | "server-reflexive" => "srflx",
        "peer-rflx" | "peer-reflexive" => "prflx",
        "relayed" => "relay",
        name => name,
    }
}

/// `udp:[ADDRESS]:PORT` or `ADDRESS:PORT`, as people write it.
fn endpoint(text: &str) -> Option<String> {
    let (address, port) = text.rsplit_once(':')?;
    let address = address
        .split_once('[')
        .map_or(address, |(_, address)| address)
        .trim_end_matches(']');
    let address: IpAddr = address.parse().ok()?;
    Some(SocketAddr::new(address, port.parse().ok()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libnice 0.1.21 says it.
    const MESSAGES: &str = "\
Agent 0x56 : new pair 0x7f01 : [192.0.2.2]:41705 --> [203.0.113.9]:12000
Agent 0x56 : *** sc=1/1 : pair 0x7f02 : f=2:2 t=host:peer-rflx sock=udp udp:[fd00::2]:53885 > udp:[fd00::2]:12000 prio=7:7:0/6e state=W
Agent 0x56 : *** sc=1/1 : pair 0x7f01 : f=1:1 t=srv-rflx:host sock=udp udp:[192.0.2.2]:41705 > udp:[203.0.113.9]:12000 prio=7:7:0/6e state=W
Agent 0x56 : pair 0x7f01 state IN_PROGRESS (priv_conn_check_initiate)
Agent 0x56 : *** sc=1/1 : pair 0x7f01 :   stun#=0 timer=1/3 1/500ms buf=0x7f (R)
Agent 0x56 : *** sc=1/1 : pair 0x7f02 : f=2:2 t=host:peer-rflx sock=udp udp:[fd00::2]:53885 > udp:[fd00::2]:12000 prio=7:7:0/6e state=SVN
Agent 0x56: Local selected pair: 1:1 2 UDP fd00::2:53885 HOST
Agent 0x56: Remote selected pair: 1:1 2 UDP fd00::2:12000 PRFLX
Agent 0x56 : pair 0x7f01 will not be retransmitted.
Agent 0x56 : pair 0x7f09 state FAILED (of a pair that was never listed)
Agent 0x56 : nothing to do for pair 0x7f02.";

    fn table(messages: &str) -> Table {
        let mut table = Table::default();
        messages.lines().for_each(|line| table.read(line));
        table
    }

    #[test]
    fn pairs_are_read_from_what_libnice_says() {
        let candidate = |kind: &str, address: &str| Candidate {
            kind: kind.into(),
            address: address.into(),
        };
        let read = table(MESSAGES);
        assert!(!read.is_settled());
        assert_eq!(
            read.pairs(),
            [
                Pair {
                    peer: candidate("host", "[fd00::2]:53885"),
                    session: candidate("prflx", "[fd00::2]:12000"),
                    state: State::Succeeded,
                    selected: true,
                },
                Pair {
                    peer: candidate("srflx", "192.0.2.2:41705"),
                    session: candidate("host", "203.0.113.9:12000"),
                    state: State::InProgress,
                    selected: false,
                },
            ]
        );
        let failed = format!("{MESSAGES}\nAgent 0x56 : pair 0x7f01 state FAILED (candidate_check_pair_fail)");
        assert!(table(&failed).is_settled());
    }

    #[test]
    fn other_words_make_no_rows() {
        for line in MESSAGES
            .lines()
            .flat_map(|line| (0..line.len()).map(move |cut| &line[..cut]))
        {
            drop(table(line).pairs());
        }
        assert_eq!(
            table("Agent 0x56 : pair 0x1 : f=1:1 t=host sock=udp x > y state=W").pairs(),
            []
        );
    }
}
