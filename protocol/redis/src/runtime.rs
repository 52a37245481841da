//! A thread for those who have no runtime of their own. A process has it once, and it only moves bytes: a second one would mostly wake
//! the first.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::Error;

fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<Result<Runtime, std::io::Error>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("redis")
                .enable_all()
                .build()
        })
        .as_ref()
        .map_err(|error| Error::Runtime(error.to_string()))
}

/// Starts a task.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    drop(runtime()?.spawn(task));
    Ok(())
}

/// Runs a future and waits for it. Unlike `block_on` it may be called from a thread of another runtime: whoever
/// changes a pipeline's state may well be one.
pub fn wait<T: Send + 'static>(
    future: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    spawn(async move {
        // The receiver is below and waits.
        drop(sender.send(future.await));
    })?;
    receiver
        .recv()
        .unwrap_or_else(|_| Err(Error::Runtime("the connecting task died".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_works_on_a_thread_of_another_runtime() {
        let outer = Builder::new_current_thread().build().unwrap();
        assert_eq!(outer.block_on(async { wait(async { Ok(7) }).unwrap() }), 7);
    }
}
