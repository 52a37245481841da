//! Which request is which operation. The OpenAPI document is made from the same list.

use warp::http::Method;

use super::problem::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Pipelines,
    Pipeline,
    Start,
    Sessions,
    Session,
    Stop,
    Predictions,
    Workers,
    Document,
}

pub(super) const ROUTES: [(Method, &str, Operation); 9] = [
    (Method::GET, "/api/v1/pipelines", Operation::Pipelines),
    (Method::GET, "/api/v1/pipelines/{name}", Operation::Pipeline),
    (Method::POST, "/api/v1/sessions", Operation::Start),
    (Method::GET, "/api/v1/sessions", Operation::Sessions),
    (Method::GET, "/api/v1/sessions/{id}", Operation::Session),
    (Method::DELETE, "/api/v1/sessions/{id}", Operation::Stop),
    (
        Method::GET,
        "/api/v1/sessions/{id}/predictions",
        Operation::Predictions,
    ),
    (Method::GET, "/api/v1/workers", Operation::Workers),
    (Method::GET, "/api/v1/openapi.json", Operation::Document),
];

/// The operation, and the name or id in its path.
pub(super) fn find(method: &Method, path: &str) -> Result<(Operation, String), Refusal> {
    let there: Vec<_> = ROUTES
        .iter()
        .filter_map(|(method, template, operation)| Some((method, *operation, variable(template, path)?)))
        .collect();
    if there.is_empty() {
        return Err(nothing());
    }
    // HEAD is GET without the body, which the HTTP server leaves out.
    let wanted = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let found = there.iter().find(|(method, ..)| *method == wanted);
    found
        .map(|(_, operation, variable)| (*operation, (*variable).to_owned()))
        .ok_or_else(|| Refusal::method_not_allowed(list(there.iter().map(|(method, ..)| *method))))
}

/// What an address takes.
pub(super) fn methods(path: &str) -> Result<String, Refusal> {
    let there = ROUTES
        .iter()
        .filter(|(_, template, _)| variable(template, path).is_some());
    let methods = list(there.map(|(method, ..)| method));
    if methods.is_empty() {
        Err(nothing())
    } else {
        Ok(methods)
    }
}

fn list<'a>(methods: impl Iterator<Item = &'a Method>) -> String {
    let mut allow: Vec<_> = methods.map(Method::as_str).collect();
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    allow.sort_unstable();
    allow.join(", ")
}

fn nothing() -> Refusal {
    Refusal::not_found("there is nothing at this address; /api/v1/openapi.json says what there is")
}

/// What stands in the path for the template's variable, or an empty text if it has none; `None` if they do not fit.
fn variable<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let mut found = "";
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => found = given,
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_find_their_operation() {
        let found = |method, path| find(&method, path).map_err(|refusal| refusal.status.as_u16());
        let ok = |operation, variable: &str| Ok((operation, variable.to_owned()));
        assert_eq!(
            found(Method::GET, "/api/v1/pipelines"),
            ok(Operation::Pipelines, "")
        );
        assert_eq!(found(Method::HEAD, "/api/v1/workers"), ok(Operation::Workers, ""));
        assert_eq!(
            found(Method::DELETE, "/api/v1/sessions/a"),
            ok(Operation::Stop, "a")
        );
        assert_eq!(
            found(Method::GET, "/api/v1/sessions/a/predictions"),
            ok(Operation::Predictions, "a")
        );
        for missing in [
            "/api/v1",
            "/api/v1/sessions/",
            "/api/v1/sessions/a/b",
            "/api/v1/pipelines//",
        ] {
            assert_eq!(found(Method::GET, missing), Err(404), "{missing}");
        }
        assert_eq!(found(Method::PUT, "/api/v1/sessions/a"), Err(405));
        let refusal = find(&Method::PATCH, "/api/v1/sessions").unwrap_err();
        assert_eq!(refusal.detail, "this address takes GET, HEAD, POST only");
    }
}
