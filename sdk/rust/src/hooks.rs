//! Runs an agent's hooks, one at a time, on a task of its own.

use std::time::Duration;

use call::HandoffId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::agent::{Agent, Call, Grant, Preparation, Wish};

/// Cues that may wait for an agent. A cue is only late if a hook blocks without awaiting.
const CUES_MAX: usize = 64;
/// How long an agent that is ready waits for the caller's track.
const HEAR_MAX: Duration = Duration::from_secs(1);

/// Something to call a hook for.
#[derive(Debug)]
enum Cue {
    Prepare {
        preparation: Preparation,
        reason_gone: CancellationToken,
    },
    Granted {
        grant: Grant,
        reason_gone: CancellationToken,
    },
    Revoked,
}

/// The job's end of an agent. Dropping it ends the agent.
#[derive(Debug)]
pub(crate) struct Hooks {
    cues: mpsc::Sender<Cue>,
    pub(crate) task: JoinHandle<()>,
    /// Ends the hook that runs for a preparation or a grant.
    reason_gone: CancellationToken,
}

/// The agent does not return from its hooks.
#[derive(Debug, thiserror::Error)]
#[error("the agent is stuck: {CUES_MAX} cues wait for it")]
pub(crate) struct Stuck;

impl Hooks {
    pub(crate) fn start(agent: impl Agent, call: Call, wishes: mpsc::Sender<Wish>) -> Self {
        let (cues, waiting) = mpsc::channel(CUES_MAX);
        Self {
            cues,
            task: tokio::spawn(run(agent, call, waiting, wishes)),
            reason_gone: CancellationToken::new(),
        }
    }

    pub(crate) fn prepare(&mut self, preparation: Preparation) -> Result<(), Stuck> {
        let reason_gone = self.renew();
        self.cue(Cue::Prepare {
            preparation,
            reason_gone,
        })
    }

    pub(crate) fn granted(&mut self, grant: Grant) -> Result<(), Stuck> {
        let reason_gone = self.renew();
        self.cue(Cue::Granted { grant, reason_gone })
    }

    pub(crate) fn revoked(&mut self) -> Result<(), Stuck> {
        self.reason_gone.cancel();
        self.cue(Cue::Revoked)
    }

    /// The preparation was called off.
    pub(crate) fn cancel(&mut self) {
        self.reason_gone.cancel();
    }

    fn renew(&mut self) -> CancellationToken {
        self.reason_gone.cancel();
        self.reason_gone = CancellationToken::new();
        self.reason_gone.clone()
    }

    fn cue(&self, cue: Cue) -> Result<(), Stuck> {
        match self.cues.try_send(cue) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Stuck),
            // The end of the agent's task is seen by the job itself.
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    mut agent: impl Agent,
    call: Call,
    mut cues: mpsc::Receiver<Cue>,
    wishes: mpsc::Sender<Wish>,
) {
    agent.joined(&call).await;
    while let Some(cue) = cues.recv().await {
        match cue {
            Cue::Prepare {
                preparation,
                reason_gone,
            } => {
                let handoff = preparation.handoff;
                let takes_over = preparation.from.is_some();
                let preparing = async {
                    agent.prepare(&call, preparation).await?;
                    // Whoever takes over hears the caller at once, and the moment before: else a word would be heard by nobody.
                    if timeout(HEAR_MAX, call.can_hear(takes_over)).await.is_err() {
                        warn!("the caller's track did not come, ready without it");
                    }
                    Ok(())
                };
                let prepared = reason_gone.run_until_cancelled(preparing).await;
                if let Some(answer) = prepared {
                    answered(&wishes, handoff, answer).await;
                }
            }
            Cue::Granted { grant, reason_gone } => {
                let granted = agent.granted(&call, grant);
                let _ = reason_gone.run_until_cancelled(granted).await;
            }
            Cue::Revoked => agent.revoked(&call).await,
        }
    }
}

async fn answered(
    wishes: &mpsc::Sender<Wish>,
    handoff: HandoffId,
    answer: Result<(), crate::agent::Refusal>,
) {
    // The job is over if nobody receives it, and this task ends with it.
    let _ = wishes.send(Wish::Prepared { handoff, answer }).await;
}
