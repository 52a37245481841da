//! Who may do what: callers show a short-lived JSON Web Token, or there is no authentication at all.
//!
//! | module | what |
//! |---|---|
//! | [`token`] | what is in a token; reading and making them |
//! | [`key`] | the key, as an operator gives it |
//! | `crypto` | signatures, by ring |

mod crypto;
pub mod key;
pub mod token;

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sightline_protocol::{ErrorId, Failure};

use crate::tenants::DEFAULT_TENANT;
use token::Verifier;

/// What a caller may do; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See the tenant's sessions, and watch them.
    View,
    /// Start and stop sessions of the tenant.
    Publish,
    /// The same with all tenants.
    Admin,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    tenant: Arc<str>,
    scope: Scope,
    /// None where nobody has to say who they are.
    expires: Option<SystemTime>,
}

impl Caller {
    /// Whose its new sessions are.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// What belongs to that tenant may be seen, and with the scope for it changed.
    pub fn sees(&self, tenant: &str) -> bool {
        self.scope == Scope::Admin || *self.tenant == *tenant
    }

    pub fn is_fresh(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    pub fn require(&self, scope: Scope) -> Result<(), Failure> {
        if self.scope >= scope {
            return Ok(());
        }
        let words = match scope {
            Scope::Admin => "only a token with the scope `admin` allows this",
            _ => {
                "this token lets you watch only; ask whoever runs the server for one with the scope `publish`"
            }
        };
        Err(Failure::new(ErrorId::Forbidden, words))
    }

    /// May it have a session of that tenant?
    pub fn join(&self, tenant: &str) -> Result<(), Failure> {
        self.require(Scope::Publish)?;
        if self.sees(tenant) {
            return Ok(());
        }
        let words = format!("this token is not for the tenant `{tenant}`: join the one that it names");
        Err(Failure::new(ErrorId::Forbidden, words))
    }
}

/// How callers are told apart.
#[derive(Debug, Clone)]
pub enum Access {
    /// Everybody may do everything.
    Open,
    Tokens(Arc<Verifier>),
}

impl Access {
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Who has come with this token.
    pub fn caller(&self, token: Option<&str>, now: SystemTime) -> Result<Caller, Failure> {
        match (self, token) {
            (Self::Open, _) => Ok(Caller {
                tenant: DEFAULT_TENANT.into(),
                scope: Scope::Admin,
                expires: None,
            }),
            (Self::Tokens(verifier), Some(token)) => verifier.check(token, now),
            (Self::Tokens(_), None) => Err(unauthenticated(
                "this server wants a token; ask whoever runs it for one (`signaling token` makes them)",
            )),
        }
    }
}

fn unauthenticated(words: impl Into<String>) -> Failure {
    Failure::new(ErrorId::Unauthenticated, words)
}
