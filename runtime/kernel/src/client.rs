//! How a primitive gets at the world: clients, one per run and per right to write.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::config::Target;
use crate::error::Result;
use crate::secret::{Secret, SecretStore};

/// A connection to a part of the world: a Docker engine, a database, the file system.
///
/// A client that is opened read-only must itself refuse to write, whatever is asked of it.
pub trait Client: Send + Sync + Sized + 'static {
    /// Open it. Called at most once per run and right.
    fn open(access: &Access) -> impl Future<Output = Result<Self>> + Send;
}

/// What a client may know and do.
#[derive(Clone)]
pub struct Access {
    read_only: bool,
    target: Arc<Target>,
    secrets: SecretStore,
    folder: Arc<std::path::Path>,
    state: Arc<std::path::Path>,
}

impl Access {
    pub(crate) fn new(
        read_only: bool,
        target: Arc<Target>,
        secrets: SecretStore,
        folder: Arc<std::path::Path>,
        state: Arc<std::path::Path>,
    ) -> Self {
        Self {
            read_only,
            target,
            secrets,
            folder,
            state,
        }
    }

    /// Whether the client must refuse to write: in a dry run, and for primitives that only read.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The working directory of the run.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Where ccrun keeps what it must know later: the journal, releases.
    #[must_use]
    pub fn state(&self) -> &std::path::Path {
        &self.state
    }

    /// A secret from the target's sources.
    ///
    /// # Errors
    /// `secret.not_found` and what the sources say.
    pub async fn secret(&self, name: &str) -> Result<Secret> {
        self.secrets.get(name).await
    }

    /// The secrets, for clients that read references such as `secret:NAME` from the target.
    #[must_use]
    pub fn secrets(&self) -> &SecretStore {
        &self.secrets
    }
}

type Slot = Arc<tokio::sync::OnceCell<Arc<dyn Any + Send + Sync>>>;

/// The clients that a run has opened.
#[derive(Default)]
pub struct Clients {
    slots: Mutex<HashMap<(TypeId, bool), Slot>>,
}

impl Clients {
    /// The client of type `T` for this access, opened if it is the first time.
    ///
    /// # Errors
    /// What opening it says; the next call tries again.
    pub async fn get<T: Client>(&self, access: &Access) -> Result<Arc<T>> {
        let slot = {
            let mut slots = self.slots.lock();
            Arc::clone(
                slots
                    .entry((TypeId::of::<T>(), access.read_only))
                    .or_default(),
            )
        };
        let open = || -> BoxFuture<'_, Result<Arc<dyn Any + Send + Sync>>> {
            Box::pin(async move {
                let client: Arc<dyn Any + Send + Sync> = Arc::new(T::open(access).await?);
                Ok(client)
            })
        };
        let client = Arc::clone(slot.get_or_try_init(open).await?);
        Ok(client
            .downcast::<T>()
            .unwrap_or_else(|_| unreachable!("the slot is keyed by its type")))
    }
}
