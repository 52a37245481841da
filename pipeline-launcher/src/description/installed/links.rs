//! Links that cannot work, seen from the pad templates of both sides.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use gst::{PadDirection, PadPresence};

use super::Finding;
use super::differences::{difference, media_types};
use super::factories::{Template, templates};
use crate::description::launch::{Element, End, Launch, Link, Node};
use crate::description::problem::did_you_mean;

/// How many links each element has in each direction.
type Uses = BTreeMap<(usize, bool), usize>;

/// `known_bad` are caps that have been reported as such.
pub fn check(launch: &Launch, text: &str, known_bad: &[Range<usize>]) -> Vec<Finding> {
    let mut found = twins(launch);
    if !launch.complete {
        return found;
    }
    let mut uses = Uses::new();
    for link in &launch.links {
        let from = resolve(launch, link, link.from.as_ref(), "before");
        let to = resolve(launch, link, link.to.as_ref(), "after");
        for (end, direction) in [(&from, PadDirection::Src), (&to, PadDirection::Sink)] {
            if let Ok((index, end)) = end {
                let used = uses.entry((*index, direction == PadDirection::Src)).or_default();
                *used += 1;
                found.extend(check_pad(&launch.elements[*index], end, direction, *used));
            }
        }
        match (from, to) {
            (Ok(_), Ok(_)) if link.caps.as_ref().is_some_and(|caps| known_bad.contains(caps)) => {}
            (Ok(from), Ok(to)) => found.extend(check_caps(launch, text, link, from, to)),
            (from, to) => found.extend([from.err(), to.err()].into_iter().flatten()),
        }
    }
    found.extend(unlinked(launch, &uses));
    found
}

/// Elements of one name.
fn twins(launch: &Launch) -> Vec<Finding> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    for element in &launch.elements {
        let name = element.properties.iter().rfind(|property| property.key == "name");
        let Some(name) = name else { continue };
        if let Some(other) = first.insert(name.value.as_str(), element) {
            let (title, this, other) = (&name.value, &element.factory, &other.factory);
            let message =
                format!("two elements are named `{title}`: this `{this}`, and the `{other}` before it");
            found.push(Finding::error(name.span.start, message, None));
        }
    }
    found
}

/// The element at one end of a link.
fn resolve<'a>(
    launch: &Launch,
    link: &Link,
    end: Option<&'a End>,
    side: &str,
) -> Result<(usize, &'a End), Finding> {
    let Some(end) = end else {
        let message = format!("nothing stands {side} this link");
        let hint = "a link stands between two elements: a ! b, or a ! caps ! b".to_owned();
        return Err(Finding::error(link.span.start, message, Some(hint)));
    };
    match &end.node {
        Node::Element(index) => Ok((*index, end)),
        Node::Named(name) => launch.named(name).map(|index| (index, end)).ok_or_else(|| {
            let names = launch
                .elements
                .iter()
                .filter_map(|element| element.name.as_deref());
            let hint = did_you_mean(name, names)
                .unwrap_or_else(|| format!("give the element that is meant a name: `name={name}`"));
            let message = format!("no element is named `{name}`");
            Finding::error(end.span.start, message, Some(hint))
        }),
    }
}

fn side(direction: PadDirection) -> &'static str {
    if direction == PadDirection::Src {
        "source"
    } else {
        "sink"
    }
}

/// Whether the element has a pad for its link number `used`.
fn check_pad(element: &Element, end: &End, direction: PadDirection, used: usize) -> Option<Finding> {
    let all = templates(&element.factory, direction)?;
    let (title, side) = (element.title(), side(direction));
    let error = |message, hint| Some(Finding::error(end.span.start, message, hint));
    if all.is_empty() {
        let what = if direction == PadDirection::Src {
            "follow it"
        } else {
            "be linked to it"
        };
        return error(format!("`{title}` has no {side} pad: nothing can {what}"), None);
    }
    let unknown = end
        .pad
        .as_ref()
        .filter(|pad| !all.iter().any(|template| template.fits(pad)));
    if let Some(pad) = unknown {
        let names: Vec<_> = all.iter().map(|template| template.name.as_str()).collect();
        let hint = did_you_mean(pad, names.iter().copied())
            .unwrap_or_else(|| format!("it has {}", names.join(", ")));
        return error(format!("`{title}` has no {side} pad `{pad}`"), Some(hint));
    }
    let fixed = all
        .iter()
        .all(|template| template.presence == PadPresence::Always);
    if fixed && used > all.len() {
        let hint = (direction == PadDirection::Src).then(|| {
            "a `tee` gives one stream to several: tee name=t  t. ! queue ! …  t. ! queue ! …".to_owned()
        });
        let number = if all.len() == 1 {
            "one".to_owned()
        } else {
            all.len().to_string()
        };
        let plural = if all.len() == 1 { "" } else { "s" };
        return error(
            format!("`{title}` has only {number} {side} pad{plural}, linked before"),
            hint,
        );
    }
    None
}

/// Whether both ends and the caps between them have a format in common.
fn check_caps(
    launch: &Launch,
    text: &str,
    link: &Link,
    from: (usize, &End),
    to: (usize, &End),
) -> Option<Finding> {
    let (source, sink) = (&launch.elements[from.0], &launch.elements[to.0]);
    let given = caps_of(&source.factory, PadDirection::Src, from.1)?;
    let taken = caps_of(&sink.factory, PadDirection::Sink, to.1)?;
    let at = to.1.span.start;
    let Some(span) = &link.caps else {
        if given.can_intersect(&taken) {
            return None;
        }
        let (why, hint) = difference(&given, &taken);
        let message = format!(
            "`{}` cannot be linked to `{}`: {why}",
            source.title(),
            sink.title()
        );
        return Some(Finding::error(at, message, hint));
    };
    let filter = gst::Caps::from_str(&text[span.clone()]).ok()?;
    let between = given.intersect(&filter);
    if between.is_empty() {
        let (why, hint) = difference(&given, &filter);
        let message = format!("`{}` does not give these caps: {why}", source.title());
        return Some(Finding::error(span.start, message, hint));
    }
    if between.can_intersect(&taken) {
        return None;
    }
    let (why, hint) = difference(&between, &taken);
    let message = format!("`{}` does not take these caps: {why}", sink.title());
    Some(Finding::error(span.start, message, hint))
}

/// What an element's pads of one direction can carry; none if it has no such pads.
fn caps_of(factory: &str, direction: PadDirection, end: &End) -> Option<gst::Caps> {
    let all = templates(factory, direction)?;
    let fits = |template: &&Template| end.pad.as_ref().is_none_or(|pad| template.fits(pad));
    all.iter()
        .filter(fits)
        .map(|template| template.caps.clone())
        .reduce(|mut all, caps| {
            all.merge(caps);
            all
        })
}

/// Elements with a pad that is always there and that nothing is linked to: data would have nowhere to go, or never come.
fn unlinked(launch: &Launch, uses: &Uses) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, element) in launch.elements.iter().enumerate() {
        for direction in [PadDirection::Sink, PadDirection::Src] {
            let is_source = direction == PadDirection::Src;
            let always = templates(&element.factory, direction).and_then(|all| {
                all.into_iter()
                    .find(|template| template.presence == PadPresence::Always)
            });
            let Some(pad) = always.filter(|_| !uses.contains_key(&(index, is_source))) else {
                continue;
            };
            let title = element.title();
            let media = if pad.caps.is_any() {
                "data".to_owned()
            } else {
                media_types(&pad.caps)
            };
            let (message, hint) = if is_source {
                (
                    format!("`{title}` gives {media}, but nothing follows it"),
                    "a `fakesink` takes what nobody needs",
                )
            } else {
                (
                    format!("`{title}` takes {media}, but nothing is linked to it"),
                    "a `!` links it to what stands before it",
                )
            };
            found.push(Finding::error(element.span.start, message, Some(hint.to_owned())));
        }
    }
    found
}
