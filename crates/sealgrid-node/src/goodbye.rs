//! Telling nodes that jobs are over: no caller waits for it, and a busy client says it of many jobs at once. A node that is
//! never told forgets a job at its deadline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealgrid_net::Endpoint;
use sealgrid_protocol::names::JobId;
use sealgrid_seal::canonical;
use sealgrid_seal::identity::PublicIdentity;
use tokio::task::JoinSet;

use crate::api::{self, CLOSE_JOBS_MAX};

/// How long an ended job waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// How long a node may take to hear it before the client stops caring.
const TELL_TIME: Duration = Duration::from_secs(1);

/// Ended jobs that nodes have not been told of.
pub(crate) struct Goodbyes {
    endpoint: Endpoint,
    ended: Mutex<HashMap<PublicIdentity, Vec<JobId>>>,
}

impl Goodbyes {
    pub(crate) fn new(endpoint: Endpoint) -> Arc<Self> {
        Arc::new(Self { endpoint, ended: Mutex::default() })
    }

    /// Has `node` told soon that `job` is over. Call within a tokio runtime.
    pub(crate) fn add(self: &Arc<Self>, node: PublicIdentity, job: JobId) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ended.values().all(Vec::is_empty);
        let jobs = ended.entry(node).or_default();
        jobs.push(job);
        if jobs.len() == CLOSE_JOBS_MAX {
            let jobs = std::mem::take(jobs);
            tokio::spawn(tell(self.endpoint.clone(), node, jobs));
        } else if first {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(GATHER).await;
                this.say().await;
            });
        }
    }

    /// Tells everything that is to be told, now.
    pub(crate) async fn say(&self) {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = ended.into_iter().filter(|(_, jobs)| !jobs.is_empty());
        let telling: JoinSet<()> =
            ended.map(|(node, jobs)| tell(self.endpoint.clone(), node, jobs)).collect();
        telling.join_all().await;
    }
}

async fn tell(endpoint: Endpoint, node: PublicIdentity, jobs: Vec<JobId>) {
    let told = endpoint.call(&node, &api::CLOSE, canonical::encode(&jobs));
    let _ = tokio::time::timeout(TELL_TIME, told).await;
}
