//! How the processes of this launcher ended, counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::process::Exit;
use crate::metrics;

/// What a process was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Session,
    Worker,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Worker => "worker",
        }
    }
}

/// Ends since the launcher started, by role and [`Exit::kind`].
#[derive(Debug, Default)]
pub struct Exits(Mutex<BTreeMap<(Role, &'static str), u64>>);

impl Exits {
    pub fn count(&self, role: Role, exit: Exit) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((role, exit.kind())).or_default() += 1;
        metrics::exited(role, exit);
    }

    pub fn counts(&self) -> BTreeMap<(Role, &'static str), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Display for Exits {
    /// `session.failed=2 worker.stalled=1`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, ((role, kind), count)) in self.counts().into_iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{}.{kind}={count}", role.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_counted_by_role_and_kind() {
        let exits = Exits::default();
        exits.count(Role::Worker, Exit::Failed { code: 1 });
        exits.count(Role::Session, Exit::Stalled);
        exits.count(Role::Worker, Exit::Failed { code: 2 });
        assert_eq!(exits.to_string(), "session.stalled=1 worker.failed=2");
    }
}
