//! A caller on hold, the end of a hold, and the way to whom the configuration names for what nobody else can settle.

use std::time::Duration;

use call::{PersonAnswer, Splice, SteerRefusal};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{
    Access, Admin, AdminError, HandoffAnswer, REASON_CHARS_MAX, WAIT_MS, WAIT_MS_MAX, answered,
};
use crate::room::{Ask, Steered};

/// How long a call may take to say that it has done what is no handoff, in milliseconds.
const STEER_MS: u64 = 5_000;

/// How long whoever wishes waits to be told what became of it, where there is nothing else to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitWish {
    /// How long to wait for the outcome, in milliseconds, 60,000 at most.
    #[serde(default, deserialize_with = "super::whole::optional")]
    #[schema(maximum = 60_000)]
    pub wait_ms: Option<u64>,
}

/// A wish to escalate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationWish {
    /// Why, for the log and for the one who takes over; at most 512 characters.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub reason: String,
    /// Cut the holder off instead of waiting for what the route says.
    #[serde(default)]
    pub now: bool,
    /// How long to wait for the outcome, in milliseconds, 60,000 at most.
    #[serde(default, deserialize_with = "super::whole::optional")]
    #[schema(maximum = 60_000)]
    pub wait_ms: Option<u64>,
}

/// A caller that is on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HoldAnswer {
    /// Always true: that it is not is an error.
    pub held: bool,
}

/// What was said for the person that is rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RungAnswer {
    /// Whether the call was accepted, else it was declined. That it was neither is an error.
    pub accepted: bool,
}

impl Admin {
    /// Accepts the call for the person that is rung, as its key does.
    ///
    /// # Errors
    /// When the visitor may not, nobody is rung or has come, or the person has accepted already.
    pub async fn accept(&self, access: &Access, id: &str) -> Result<RungAnswer, AdminError> {
        self.answer_for(access, id, PersonAnswer::Accept).await?;
        Ok(RungAnswer { accepted: true })
    }

    /// Declines the call for the person that is rung, whether it has come or not.
    ///
    /// # Errors
    /// When the visitor may not, nobody is rung, or the person has accepted already.
    pub async fn decline(&self, access: &Access, id: &str) -> Result<RungAnswer, AdminError> {
        self.answer_for(access, id, PersonAnswer::Decline).await?;
        Ok(RungAnswer { accepted: false })
    }

    /// Has the person that has the baton give it back to whoever had it before.
    ///
    /// # Errors
    /// When the visitor may not, no person has the baton, or it was refused or tried in vain.
    pub async fn hand_back(
        &self,
        access: &Access,
        id: &str,
        wish: WaitWish,
    ) -> Result<HandoffAnswer, AdminError> {
        let WaitWish { wait_ms } = wish;
        let steered = self
            .steer(access, id, bounded(wait_ms)?, |answer| Ask::HandBack {
                answer,
            })
            .await?;
        moved(steered)
    }

    async fn answer_for(
        &self,
        access: &Access,
        id: &str,
        wish: PersonAnswer,
    ) -> Result<(), AdminError> {
        let steered = self
            .steer(access, id, STEER_MS, |answer| Ask::Answer { wish, answer })
            .await?;
        match steered {
            Some(Steered::Done | Steered::Moved(_)) => Ok(()),
            Some(Steered::Refused(refusal)) => Err(refused(&refusal)),
            None => Err(AdminError::Busy),
        }
    }

    /// Has the caller wait: nobody has the baton, and the filler is heard.
    ///
    /// # Errors
    /// When the visitor may not, or nobody has the baton, or a handoff is under way.
    pub async fn hold(&self, access: &Access, id: &str) -> Result<HoldAnswer, AdminError> {
        let steered = self
            .steer(access, id, STEER_MS, |answer| Ask::Hold { answer })
            .await?;
        match steered {
            Some(Steered::Done | Steered::Moved(_)) => Ok(HoldAnswer { held: true }),
            Some(Steered::Refused(refusal)) => Err(refused(&refusal)),
            None => Err(AdminError::Busy),
        }
    }

    /// Ends a hold: whoever had the baton has it again.
    ///
    /// # Errors
    /// When the visitor may not, the caller is not on hold, or it was tried in vain.
    pub async fn resume(
        &self,
        access: &Access,
        id: &str,
        wish: WaitWish,
    ) -> Result<HandoffAnswer, AdminError> {
        let WaitWish { wait_ms } = wish;
        let steered = self
            .steer(access, id, bounded(wait_ms)?, |answer| Ask::Resume {
                answer,
            })
            .await?;
        moved(steered)
    }

    /// Moves the baton to whom the configuration names for it.
    ///
    /// # Errors
    /// When the visitor may not, nobody is named, or it was refused or tried in vain.
    pub async fn escalate(
        &self,
        access: &Access,
        id: &str,
        wish: EscalationWish,
    ) -> Result<HandoffAnswer, AdminError> {
        let EscalationWish {
            reason,
            now,
            wait_ms,
        } = wish;
        // Who may not is told nothing of what is wrong with the rest.
        self.steered(access, id)?;
        if reason.chars().count() > REASON_CHARS_MAX {
            let what = format!("`reason` is longer than {REASON_CHARS_MAX} characters");
            return Err(AdminError::Invalid { what });
        }
        let splice = now.then_some(Splice::Now);
        let steered = self
            .steer(access, id, bounded(wait_ms)?, |answer| Ask::Escalate {
                reason,
                splice,
                answer,
            })
            .await?;
        moved(steered)
    }

    /// Asks, and waits for the answer; `None` if that takes longer.
    async fn steer(
        &self,
        access: &Access,
        id: &str,
        wait_ms: u64,
        ask: impl FnOnce(oneshot::Sender<Steered>) -> Ask,
    ) -> Result<Option<Steered>, AdminError> {
        let id = self.steered(access, id)?;
        let (answer, outcome) = oneshot::channel();
        self.desk
            .ask(&id, ask(answer))
            .map_err(|error| AdminError::asking(error, id.as_str()))?;
        match tokio::time::timeout(Duration::from_millis(wait_ms), outcome).await {
            Ok(Ok(steered)) => Ok(Some(steered)),
            Ok(Err(_)) => Err(AdminError::CallEnded),
            Err(_) => Ok(None),
        }
    }
}

fn bounded(wait_ms: Option<u64>) -> Result<u64, AdminError> {
    let wait_ms = wait_ms.unwrap_or(WAIT_MS);
    if wait_ms > WAIT_MS_MAX {
        let what = format!("`wait_ms` is {wait_ms}, at most {WAIT_MS_MAX} is allowed");
        return Err(AdminError::Invalid { what });
    }
    Ok(wait_ms)
}

fn moved(steered: Option<Steered>) -> Result<HandoffAnswer, AdminError> {
    match steered {
        Some(Steered::Moved(outcome)) => answered(outcome),
        Some(Steered::Refused(refusal)) => Err(refused(&refusal)),
        Some(Steered::Done) | None => Ok(HandoffAnswer::UnderWay),
    }
}

fn refused(refusal: &SteerRefusal) -> AdminError {
    match refusal {
        SteerRefusal::NoEscalation => AdminError::NotConfigured {
            what: refusal.to_string(),
        },
        SteerRefusal::InProgress { .. }
        | SteerRefusal::NobodyHolds
        | SteerRefusal::AlreadyHeld
        | SteerRefusal::NotHeld
        | SteerRefusal::NobodyRung
        | SteerRefusal::AlreadyAccepted { .. }
        | SteerRefusal::NotThere { .. }
        | SteerRefusal::NoPersonHolds => AdminError::Refused {
            code: refusal.code(),
            reason: refusal.to_string(),
        },
    }
}
