//! What only one can have: a port, a file that is written, a name in Redis. Two pipelines that claim the same fail, or
//! spoil each other's data, only when both run.

use sightline_protocol::keys;
use sightline_protocol::rpc::PipelineKind;

use super::launch::{self, Element};
use super::problem::{Place, Problem, Severity};
use super::{Description, LAUNCH};

/// A thing that an element has for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// `the UDP port 5000`
    pub what: String,
    pub place: Place,
}

/// What the description's elements have for themselves; values of parameters are a client's business.
pub fn owned(description: &Description, source: &str) -> Vec<Owned> {
    let elements = launch::elements(&description.launch);
    let owned = elements.iter().filter_map(|element| {
        let span = description.launch_place.span(&description.launch, &element.span);
        Some(Owned {
            what: thing(element)?,
            place: Place::of(source, span.start),
        })
    });
    owned.collect()
}

/// A pipeline of which several run at once cannot have something for itself.
pub fn check_several(description: &Description, owned: &[Owned]) -> Vec<Problem> {
    let kind = match description.kind {
        PipelineKind::Session => "sessions",
        PipelineKind::Viewer => "viewers",
        PipelineKind::Worker => "workers",
        PipelineKind::Source => return Vec::new(),
    };
    let problem = |owned: &Owned| Problem {
        severity: Severity::Warning,
        place: Some(owned.place),
        field: LAUNCH.to_owned(),
        message: format!("two {kind} cannot both have {}", owned.what),
        hint: Some("a parameter lets each have its own".to_owned()),
    };
    owned.iter().map(problem).collect()
}

fn thing(element: &Element) -> Option<String> {
    let fixed = |key: &str| {
        element
            .property(key)
            .filter(|value| launch::placeholders(value).is_empty())
    };
    let or = |key: &str, default: &'static str| match element.property(key) {
        Some(_) => fixed(key),
        None => Some(default),
    };
    match element.factory.as_str() {
        "udpsrc" if element.property("uri").is_none() && !is_multicast(element) => {
            port("UDP", or("port", "5004")?)
        }
        "tcpserversrc" | "tcpserversink" => port("TCP", or("port", "4953")?),
        "filesink" | "splitmuxsink" | "multifilesink" => {
            fixed("location").map(|path| format!("the file {path}"))
        }
        "shmsink" | "unixfdsink" => fixed("socket-path").map(|path| format!("the socket {path}")),
        "redisstreamsrc" => {
            let (consumer, stream) = (fixed("consumer")?, or("stream", keys::IMAGES)?);
            let group = or("group", keys::IMAGES_GROUP)?;
            Some(format!(
                "the consumer `{consumer}` of `{stream}`, group `{group}`"
            ))
        }
        "redisvideosink" => fixed("session").map(|session| format!("the picture of the session `{session}`")),
        "redisstreamsink" => {
            let default = match element.property("payload") {
                Some("detections") => keys::PREDICTIONS,
                _ => keys::IMAGES,
            };
            let (participant, stream) = (fixed("participant-id")?, or("stream", default)?);
            Some(format!("the participant `{participant}` in `{stream}`"))
        }
        _ => None,
    }
}

/// Port 0 is any that is free.
fn port(protocol: &str, port: &str) -> Option<String> {
    (port != "0").then(|| format!("the {protocol} port {port}"))
}

/// A group's packets go to all who listen.
fn is_multicast(element: &Element) -> bool {
    let address = element
        .property("address")
        .or_else(|| element.property("multicast-group"));
    address
        .and_then(|address| address.parse::<std::net::IpAddr>().ok())
        .is_some_and(|address| address.is_multicast())
}
