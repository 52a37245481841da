//! Requests and their answers.

use std::net::SocketAddr;
use std::time::Instant;

use stun_types::attribute::{ErrorCode, XorMappedAddress};
use stun_types::message::{
    BINDING, Message, MessageClass, MessageWrite, MessageWriteExt, MessageWriteVec, Method, TransactionId,
};

use crate::Failure;
use crate::link::{Link, RESEND};

/// The address that a server sees us at.
pub fn mapped_address(link: &mut Link, until: Instant) -> Result<SocketAddr, Failure> {
    let request = Message::builder_request(BINDING, MessageWriteVec::new());
    let transaction = request.transaction_id();
    let answer = exchange(link, &request.finish(), transaction, until)?;
    read_mapped(&answer).ok_or(Failure::NotStun)
}

pub(crate) fn read_mapped(answer: &[u8]) -> Option<SocketAddr> {
    let answer = Message::from_bytes(answer).ok()?;
    let mapped = answer.attribute::<XorMappedAddress>().ok()?;
    Some(mapped.addr(answer.transaction_id()))
}

/// Sends a request until its answer comes. An error answer is an [`Err`].
pub(crate) fn exchange(
    link: &mut Link,
    request: &[u8],
    transaction: TransactionId,
    until: Instant,
) -> Result<Vec<u8>, Failure> {
    let answer = answer(link, request, transaction, until)?;
    match refusal(&answer) {
        Some(refused) => Err(refused),
        None => Ok(answer),
    }
}

/// Sends a request until its answer comes, of whatever kind.
pub(crate) fn answer(
    link: &mut Link,
    request: &[u8],
    transaction: TransactionId,
    until: Instant,
) -> Result<Vec<u8>, Failure> {
    link.send(request)?;
    loop {
        let next = (Instant::now() + RESEND).min(until);
        match link.receive(if link.resends() { next } else { until })? {
            Some(bytes) => {
                // Others may be late answers, or data of peers.
                let is_it =
                    |message: &Message| message.is_response() && message.transaction_id() == transaction;
                if Message::from_bytes(&bytes).is_ok_and(|message| is_it(&message)) {
                    return Ok(bytes);
                }
            }
            None if Instant::now() >= until => return Err(Failure::Silent),
            None => link.send(request)?,
        }
    }
}

pub(crate) fn refusal(answer: &[u8]) -> Option<Failure> {
    let answer = Message::from_bytes(answer).ok()?;
    if !answer.has_class(MessageClass::Error) {
        return None;
    }
    let error = answer.attribute::<ErrorCode>().ok();
    Some(Failure::Refused {
        code: error.as_ref().map_or(0, ErrorCode::code),
        // Not ours: it goes to a terminal.
        reason: error.map_or_else(String::new, |error| {
            error
                .reason()
                .chars()
                .filter(|c| !c.is_control())
                .take(80)
                .collect()
        }),
    })
}

pub(crate) fn new(method: Method) -> MessageWriteVec {
    Message::builder_request(method, MessageWriteVec::new())
}
