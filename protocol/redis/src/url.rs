//! Where Redis is.

/// Where Redis is if nobody says.
pub const DEFAULT_URL: &str = "redis://127.0.0.1:6379";
/// What stands in place of a secret.
const STARS: &str = "***";
/// The parts of a URL's query that are no secrets.
const PLAIN: [&str; 5] = [
    "db",
    "user",
    "protocol",
    "sentinelServiceName",
    "sentinelUsername",
];

/// The environment's `REDIS_URL`, or [`DEFAULT_URL`].
pub fn default_url() -> String {
    let set = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
    set.unwrap_or_else(|| DEFAULT_URL.to_owned())
}

/// A URL, or what was meant to be one, fit for logs: what may be a password is starred out.
pub fn mask(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // A password may hold an unescaped `@` or `/`: everything up to the last `@` may be secret.
    let rest = match rest.rsplit_once('@') {
        Some((user_info, host)) if !rest.starts_with('/') => match user_info.split_once(':') {
            Some((user, _)) => format!("{user}:{STARS}@{host}"),
            // Meant as a password, as often as not.
            None => format!("{STARS}@{host}"),
        },
        _ => rest.to_owned(),
    };
    let rest = match rest.split_once('?') {
        Some((path, query)) => {
            let pairs: Vec<_> = query.split('&').map(mask_pair).collect();
            format!("{path}?{}", pairs.join("&"))
        }
        None => rest,
    };
    scheme + &rest
}

fn mask_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) if PLAIN.contains(&name) => pair.to_owned(),
        Some((name, _)) => format!("{name}={STARS}"),
        None => STARS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_starred_out() {
        for (url, masked) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:secret@host:1/2", "redis://:***@host:1/2"),
            ("rediss://joe:se:cr@et@host", "rediss://joe:***@host"),
            (
                "rediss://joe:s?cr&et@host/#insecure",
                "rediss://joe:***@host/#insecure",
            ),
            ("redis://secret@host", "redis://***@host"),
            ("secret@host", "***@host"),
            ("unix:///r.sock?db=1&pass=secret", "unix:///r.sock?db=1&pass=***"),
            ("unix:///r.sock?pass=se&cr@et", "unix:///r.sock?pass=***&***"),
            ("unix:///r.sock?p%61ss=secret", "unix:///r.sock?p%61ss=***"),
            ("redis://host?protocol=resp3", "redis://host?protocol=resp3"),
            (
                "redis-cluster://joe:secret@a:1,b:2",
                "redis-cluster://joe:***@a:1,b:2",
            ),
            (
                "redis-sentinel://:secret@a,b/0?sentinelServiceName=m&sentinelPassword=secret",
                "redis-sentinel://:***@a,b/0?sentinelServiceName=m&sentinelPassword=***",
            ),
            ("", ""),
        ] {
            assert_eq!(mask(url), masked);
        }
    }
}
