//! Who may join: v1's tenants, a hash in Redis.

use redis::{AsyncCommands, RedisResult};
use sightline_protocol::keys::TENANTS;
use sightline_protocol::{ErrorId, Failure};
use sightline_service::redis::Commands;

pub(crate) const DEFAULT_TENANT: &str = "defaultTenant";
/// Exist after the first start, as in v1.
const INITIAL: [(&str, &str); 5] = [
    (DEFAULT_TENANT, "Default Tenant"),
    ("tenant2", "Tenant 2"),
    ("tenant3", "Tenant 3"),
    ("tenant4", "Tenant 4"),
    ("tenant5", "Tenant 5"),
];

#[derive(Clone)]
pub(crate) struct Tenants {
    commands: Commands,
}

impl Tenants {
    pub(crate) fn new(commands: Commands) -> Self {
        Self { commands }
    }

    /// Adds the initial tenants that are missing; a name that an operator changed is kept.
    pub(crate) async fn ensure(&self) -> RedisResult<()> {
        let mut pipe = redis::pipe();
        for (id, name) in INITIAL {
            pipe.hset_nx(TENANTS, id, name).ignore();
        }
        pipe.query_async(&mut self.commands.clone()).await
    }

    pub(crate) async fn check(&self, id: &str) -> Result<(), Failure> {
        let known: RedisResult<bool> = self.commands.clone().hexists(TENANTS, id).await;
        match known {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new(
                ErrorId::UnknownTenant,
                format!("no tenant has the id `{id}`"),
            )),
            Err(error) => {
                tracing::warn!(%error, "tenants cannot be read");
                Err(Failure::new(
                    ErrorId::Internal,
                    "the server has lost its connection to Redis; try again in a moment",
                ))
            }
        }
    }

    /// Whether they can be read, and so sessions be joined.
    pub(crate) async fn ping(&self) -> RedisResult<()> {
        self.commands.clone().exists(TENANTS).await
    }
}
