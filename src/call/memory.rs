//! What of a call outlives its process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::announce::Clip;
use crate::call::Call;
use crate::caller::{Caller, Hears};
use crate::command::Fact;
use crate::delegation::Delegation;
use crate::entry::Entry;
use crate::event::ParticipantKind;
use crate::ids::{DispatchId, Epoch, HandoffId, Identity, SpecialistName};
use crate::outcome::RefuseReason;
use crate::phase::{Cause, Handoff, Phase};
use crate::snapshot::{Counts, Stage};

/// As much of a call as another process needs to go on with it: a fold of its facts. Timers and connections are not part
/// of it, nor is who misbehaved.
///
/// It is stored: fields are added, and never change their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The newest epoch.
    pub epoch: Epoch,
    /// The caller, once there is one.
    pub caller: Option<RememberedCaller>,
    /// Who takes the call, once the entry rules have decided.
    pub entry: Option<SpecialistName>,
    /// Every specialist that was dispatched and is not gone.
    pub specialists: BTreeMap<DispatchId, RememberedSpecialist>,
    /// Who has the baton.
    pub holder: Option<DispatchId>,
    /// The handoff under way.
    pub handoff: Option<RememberedHandoff>,
    /// The delegations that are open, the outermost first.
    pub delegations: Vec<Delegation>,
    /// Who holds the baton, or held it last.
    pub last: Option<SpecialistName>,
    /// Who held it before `last`.
    pub previous: Option<SpecialistName>,
    /// Whose place is to be taken, should nobody have the baton; `None` is that of the entry specialist.
    pub lost: Option<SpecialistName>,
    /// Who was tried for it in this round.
    pub tried: Vec<SpecialistName>,
    /// How many rounds have failed.
    pub round: u32,
    /// Whom the route names by which the holder came, should it be lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<SpecialistName>,
    /// How often each specialist was handed the baton.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub visits: BTreeMap<SpecialistName, u32>,
    /// What was counted; without rejected events, of which there may be any number.
    pub counts: Counts,
    /// The number of the newest dispatch.
    pub newest_dispatch: DispatchId,
    /// The number of the newest handoff.
    pub newest_handoff: HandoffId,
}

/// The caller, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedCaller {
    /// Its identity.
    pub identity: Identity,
    /// Its kind.
    pub kind: ParticipantKind,
    /// Whether it has heard the program track.
    pub heard: bool,
}

/// A specialist, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedSpecialist {
    /// Its name.
    pub specialist: SpecialistName,
    /// Its identity, once it has joined.
    pub identity: Option<Identity>,
    /// Whether it has ever had the baton.
    pub held: bool,
    /// Whether it was told to leave.
    pub leaving: bool,
}

/// A handoff under way, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedHandoff {
    /// The handoff.
    pub handoff: Handoff,
    /// Its target, once there is one.
    pub target: Option<DispatchId>,
    /// Whether the target was granted the baton.
    pub granted: bool,
}

impl Memory {
    /// Takes a fact in. Facts of one call, in their order, from the first one or from a stored memory on.
    pub fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::CallerPinned { identity, kind } => {
                self.caller = Some(RememberedCaller {
                    identity: identity.clone(),
                    kind: *kind,
                    heard: false,
                });
            }
            Fact::CallerListening => {
                if let Some(caller) = &mut self.caller {
                    caller.heard = true;
                }
            }
            Fact::EntryChosen {
                specialist,
                rule: _,
                unanswered,
            } => {
                self.counts.conditions_failed += u64::from(*unanswered);
                self.entry = Some(specialist.clone());
                if self.last.is_none() && self.handoff.is_none() {
                    self.seek(specialist);
                }
            }
            Fact::Resumed { epoch } => self.epoch = *epoch,
            Fact::Dispatched {
                dispatch,
                specialist,
            } => {
                self.newest_dispatch = self.newest_dispatch.max(*dispatch);
                let dispatched = RememberedSpecialist {
                    specialist: specialist.clone(),
                    identity: None,
                    held: false,
                    leaving: false,
                };
                self.specialists.insert(*dispatch, dispatched);
            }
            Fact::SpecialistJoined {
                dispatch,
                specialist: _,
                identity,
            } => {
                if let Some(specialist) = self.specialists.get_mut(dispatch) {
                    specialist.identity = Some(identity.clone());
                }
            }
            Fact::SpecialistLeaving { dispatch } => {
                if let Some(specialist) = self.specialists.get_mut(dispatch) {
                    specialist.leaving = true;
                }
            }
            Fact::SpecialistGone { dispatch } => {
                self.specialists.remove(dispatch);
            }
            Fact::HandoffStarted { handoff, from: _ } => self.start(handoff),
            Fact::HandoffTarget { handoff, dispatch } => {
                if let Some(running) = self.running(*handoff) {
                    running.target = Some(*dispatch);
                }
            }
            Fact::HandoffRefused { asker: _, reason } => {
                self.counts.refused += 1;
                if let RefuseReason::NoAnswer { .. } = reason {
                    self.counts.conditions_failed += 1;
                }
            }
            Fact::RuleFired { rule: _ } => self.counts.rules_fired += 1,
            Fact::Granted {
                dispatch,
                handoff,
                specialist: _,
                identity: _,
                epoch,
            } => {
                self.epoch = *epoch;
                self.holder = Some(*dispatch);
                if let Some(specialist) = self.specialists.get_mut(dispatch) {
                    specialist.held = true;
                }
                if let Some(running) = handoff.and_then(|handoff| self.running(handoff)) {
                    running.granted = true;
                }
            }
            Fact::Held {
                dispatch: _,
                specialist,
                epoch,
            } => {
                self.epoch = *epoch;
                self.holder = None;
                self.seek(specialist);
            }
            Fact::HandoffDone { handoff, epoch: _ } => self.done(*handoff),
            Fact::Transferred { handoff: _ } => {
                self.counts.handoffs_done += 1;
                self.handoff = None;
            }
            Fact::HandoffFailed {
                handoff: _,
                reason: _,
            } => {
                self.counts.handoffs_failed += 1;
                self.handoff = None;
            }
            Fact::DelegationBegan { delegation } => self.delegations.push(delegation.clone()),
            Fact::DelegationEnded {
                handoff,
                failure: _,
            } => self.delegations.retain(|one| one.handoff != *handoff),
            Fact::HolderLost {
                specialist,
                reason: _,
            } => {
                self.counts.losses += 1;
                self.holder = None;
                self.seek(specialist);
            }
            Fact::NobodyLeft { round } => {
                self.round = *round;
                self.tried.clear();
            }
            Fact::Misbehaved {
                identity: _,
                what: _,
                count,
            } => self.counts.misbehaved = *count,
            Fact::Announced { clip } => match clip {
                Clip::Route(_) => {
                    if let Some(running) = &mut self.handoff {
                        running.handoff.announces = false;
                    }
                }
                Clip::Opening | Clip::Busy => {}
            },
            // Connections, and what the log alone is for.
            Fact::Phase { .. }
            | Fact::Answered
            | Fact::CallerAway
            | Fact::CallerBack
            | Fact::SpecialistAway { .. }
            | Fact::SpecialistBack { .. }
            | Fact::HandoffReady { .. }
            | Fact::GrantAnnounced { .. }
            | Fact::FirstFrame { .. }
            | Fact::DeadAirBegan { .. }
            | Fact::DeadAirEnded { .. } => {}
        }
    }

    fn running(&mut self, handoff: HandoffId) -> Option<&mut RememberedHandoff> {
        self.handoff
            .as_mut()
            .filter(|running| running.handoff.id == handoff)
    }

    fn start(&mut self, handoff: &Handoff) {
        self.newest_handoff = self.newest_handoff.max(handoff.id);
        match &handoff.cause {
            Cause::Entry => {}
            Cause::Recovery => self.tried.push(handoff.to.clone()),
            Cause::Request { .. } => self.counts.handoffs_started += 1,
        }
        self.handoff = Some(RememberedHandoff {
            handoff: handoff.clone(),
            target: None,
            granted: false,
        });
    }

    fn done(&mut self, handoff: HandoffId) {
        self.counts.handoffs_done += 1;
        let Some(RememberedHandoff { handoff, .. }) = self
            .handoff
            .take_if(|running| running.handoff.id == handoff)
        else {
            return;
        };
        if self.last.as_ref() != Some(&handoff.to) {
            self.previous = self.last.replace(handoff.to.clone());
        }
        let visits = self.visits.entry(handoff.to.clone()).or_default();
        *visits = visits.saturating_add(1);
        self.seek(&handoff.to);
        self.chain = handoff.fallback;
    }

    fn seek(&mut self, lost: &SpecialistName) {
        self.lost = Some(lost.clone());
        self.tried.clear();
        self.round = 0;
    }
}

impl Call {
    /// What of the call would outlive this process now.
    pub fn memory(&self) -> Memory {
        let specialists = self.roster.iter().map(|(dispatch, instance)| {
            let remembered = RememberedSpecialist {
                specialist: instance.specialist.clone(),
                identity: instance.identity.clone(),
                held: instance.held,
                leaving: matches!(instance.stage, Stage::Leaving { .. }),
            };
            (dispatch, remembered)
        });
        let running = |target, granted| {
            let handoff = self.phase.handoff()?.clone();
            Some(RememberedHandoff {
                handoff,
                target: Some(target),
                granted,
            })
        };
        Memory {
            epoch: self.epoch,
            caller: remembered(&self.caller),
            entry: match &self.entry {
                Entry::Chosen(entry) => Some(entry.clone()),
                Entry::Fixed | Entry::Caller | Entry::Facts { .. } | Entry::State { .. } => None,
            },
            specialists: specialists.collect(),
            holder: self.phase.holder().map(|holder| holder.dispatch),
            handoff: match &self.phase {
                Phase::Idle { .. } | Phase::Active { .. } => None,
                Phase::Preparing { target, .. } | Phase::Ready { target, .. } => {
                    running(*target, false)
                }
                Phase::Switching { to, .. } => running(to.dispatch, true),
            },
            delegations: self.delegations.open().cloned().collect(),
            last: self.last.clone(),
            previous: self.previous.clone(),
            lost: Some(self.recovery.lost.clone()),
            tried: self.recovery.tried.clone(),
            round: self.recovery.round,
            chain: self.recovery.chain.clone(),
            visits: self.visits.clone(),
            counts: Counts {
                rejected: 0,
                digits_forged: 0,
                ..self.counts
            },
            newest_dispatch: self.newest_dispatch,
            newest_handoff: self.newest_handoff,
        }
    }
}

fn remembered(caller: &Caller) -> Option<RememberedCaller> {
    match caller {
        Caller::Awaited { .. } => None,
        Caller::Present {
            identity,
            kind,
            hears,
        } => Some(RememberedCaller {
            identity: identity.clone(),
            kind: *kind,
            heard: matches!(hears, Hears::Yes),
        }),
        Caller::Away {
            identity,
            kind,
            heard,
            until: _,
        } => Some(RememberedCaller {
            identity: identity.clone(),
            kind: *kind,
            heard: *heard,
        }),
    }
}
