//! Where Redis is, as a user says it: the properties that all elements have.

use std::path::PathBuf;

use glib::prelude::*;
use gst::prelude::*;
use sightline_protocol::keys;
use sightline_redis::{DEFAULT_URL, Error, Server, Tls, default_url};

/// The environment's `SIGHTLINE_SHARDS`, or 0: frames are not spread over streams.
pub(crate) fn default_shards() -> u32 {
    let set = std::env::var("SIGHTLINE_SHARDS").ok();
    let shards = set.and_then(|text| text.parse().ok()).unwrap_or(0);
    u32::min(shards, keys::MAX_SHARDS)
}

#[derive(Debug, Clone)]
pub(crate) struct Address {
    url: String,
    tls: Tls,
}

impl Default for Address {
    fn default() -> Self {
        Self {
            url: default_url(),
            tls: Tls::default(),
        }
    }
}

impl Address {
    pub(crate) fn server(&self) -> Result<Server, Error> {
        Server::with_tls(&self.url, &self.tls)
    }

    pub(crate) fn properties() -> Vec<glib::ParamSpec> {
        let url = glib::ParamSpecString::builder("url")
            .nick("URL")
            .blurb(
                "Where Redis is: redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or \
                 unix:///PATH; ?protocol=resp3 for RESP3; redis-cluster://[[USER]:PASSWORD@]HOST[:PORT],… for a \
                 cluster; redis-sentinel://[[USER]:PASSWORD@]HOST[:PORT],…[/DB]?sentinelServiceName=NAME; the \
                 environment's REDIS_URL where it is set",
            )
            .default_value(Some(DEFAULT_URL))
            .mutable_ready()
            .build();
        let file = |name: &str, nick: &str, blurb: &str| {
            glib::ParamSpecString::builder(name)
                .nick(nick)
                .blurb(blurb)
                .mutable_ready()
                .build()
        };
        vec![
            url,
            file(
                "tls-ca-file",
                "TLS CA file",
                "PEM file of the only authorities to trust for rediss://; NULL: those of the system, or of the \
                 environment's SSL_CERT_FILE",
            ),
            file(
                "tls-cert-file",
                "TLS certificate file",
                "PEM file of the certificate to show to a Redis that asks for one; NULL: none",
            ),
            file(
                "tls-key-file",
                "TLS key file",
                "PEM file of the key of `tls-cert-file`; NULL: none",
            ),
        ]
    }

    /// Sets a property; false if it is none of these.
    pub(crate) fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        let text = value.get::<Option<String>>().ok().flatten();
        if name == "url" {
            self.url = text.unwrap_or_else(default_url);
            return true;
        }
        let Some(file) = self.file_mut(name) else {
            return false;
        };
        *file = text.filter(|path| !path.is_empty()).map(PathBuf::from);
        true
    }

    /// A property's value, if it is one of these.
    pub(crate) fn get(&self, name: &str) -> Option<glib::Value> {
        let file = match name {
            "url" => return Some(self.url.to_value()),
            "tls-ca-file" => &self.tls.ca_file,
            "tls-cert-file" => &self.tls.cert_file,
            "tls-key-file" => &self.tls.key_file,
            _ => return None,
        };
        Some(file.as_ref().and_then(|path| path.to_str()).to_value())
    }

    fn file_mut(&mut self, name: &str) -> Option<&mut Option<PathBuf>> {
        match name {
            "tls-ca-file" => Some(&mut self.tls.ca_file),
            "tls-cert-file" => Some(&mut self.tls.cert_file),
            "tls-key-file" => Some(&mut self.tls.key_file),
            _ => None,
        }
    }
}
