//! Rules: handoffs that nobody asks for. They are looked at after every event and timer, and only while one has the baton
//! and no handoff is under way.
//!
//! Each rule fires once in a *holding*, the time from one handoff to the next, but for keys, which count each time, and
//! silences, which count anew when somebody has spoken. A rule is its own permission: it needs no route. What it asks for
//! is a request like any other, and can be refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::call::{Call, Turn};
use crate::command::Fact;
use crate::config::{Rule, Trigger};
use crate::event::{Asker, HandoffRequest, Target};
use crate::ids::{Digit, Identity, RequestId, SpecialistName};
use crate::phase::{Holder, Phase};
use crate::timer::Timer;

/// What rules watch.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Which holding it is: how many handoffs have been done.
    holding: u64,
    /// Since when.
    pub(crate) since: Instant,
    caller_talks: bool,
    voice: Voice,
    /// That of the holder before, during a switch: it may have the baton again.
    outgoing: Option<Voice>,
    /// Handoffs on request that have failed in this holding.
    failed: u32,
    /// Rules that have fired.
    fired: BTreeSet<usize>,
    /// What rules on the state saw last.
    truths: BTreeMap<usize, bool>,
    /// In which holding, and which version of the state, they looked.
    looked: Option<(u64, u64)>,
    pub(crate) newest_request: RequestId,
    /// The call was taken over from another process: what is true of the state by now has fired already.
    resumed: bool,
}

/// What was heard of a holder and the caller since its grant.
#[derive(Debug, Clone, Copy)]
struct Voice {
    talks: bool,
    /// Who has spoken last.
    last_talker: Option<Talker>,
    /// Since when nobody speaks; counts while neither does.
    quiet_since: Instant,
}

impl Voice {
    fn new(now: Instant) -> Self {
        Self {
            talks: false,
            last_talker: None,
            quiet_since: now,
        }
    }

    fn note(&mut self, now: Instant, talker: Talker, talking: bool, was: bool) {
        if talking {
            self.last_talker = Some(talker);
        } else if was {
            self.quiet_since = now;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Talker {
    Caller,
    Holder,
}

impl Watch {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            holding: 0,
            since: now,
            caller_talks: false,
            voice: Voice::new(now),
            outgoing: None,
            failed: 0,
            fired: BTreeSet::new(),
            truths: BTreeMap::new(),
            looked: None,
            newest_request: RequestId(0),
            resumed: false,
        }
    }

    /// A call goes on in another process, in this holding. What rules have watched is lost, but for what they would do again.
    pub(crate) fn resumed(now: Instant, holding: u64) -> Self {
        Self {
            holding,
            resumed: true,
            ..Self::new(now)
        }
    }

    pub(crate) fn handoff_failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    fn begin(&mut self, now: Instant, holding: u64) {
        self.holding = holding;
        self.since = now;
        self.outgoing = None;
        // It has had until now to begin.
        if self.voice.last_talker.is_none() {
            self.voice.quiet_since = now;
        }
        self.failed = 0;
        self.fired.clear();
    }

    /// The baton is granted: what was heard before says nothing of the new holder, which may speak before its handoff is done.
    pub(crate) fn granted(&mut self, now: Instant) {
        self.outgoing = Some(std::mem::replace(&mut self.voice, Voice::new(now)));
    }

    /// The old one has the baton again, and has sounded all the while.
    pub(crate) fn retaken(&mut self) {
        if let Some(voice) = self.outgoing.take() {
            self.voice = voice;
        }
    }
}

impl Call {
    /// Somebody has begun or ceased to speak.
    pub(crate) fn talks(&mut self, turn: &mut Turn<'_>, identity: &Identity, talking: bool) {
        let talker = if self.caller.identity() == Some(identity) {
            Talker::Caller
        } else if self
            .phase
            .holder()
            .is_some_and(|holder| holder.identity == *identity)
        {
            Talker::Holder
        } else {
            if let Phase::Switching {
                from: Some(from), ..
            } = &self.phase
                && from.identity == *identity
                && let Some(voice) = &mut self.watch.outgoing
            {
                let was = std::mem::replace(&mut voice.talks, talking);
                voice.note(turn.now, Talker::Holder, talking, was);
            }
            return;
        };
        let watch = &mut self.watch;
        let was = match talker {
            Talker::Caller => std::mem::replace(&mut watch.caller_talks, talking),
            Talker::Holder => std::mem::replace(&mut watch.voice.talks, talking),
        };
        watch.voice.note(turn.now, talker, talking, was);
        if let (Talker::Caller, Some(voice)) = (talker, &mut watch.outgoing) {
            voice.note(turn.now, talker, talking, was);
        }
        if talking {
            let rules = &self.plan.config().rules;
            self.watch.fired.retain(|number| {
                rules.get(*number).is_some_and(|rule| match rule.on {
                    Trigger::CallerSilent { .. } | Trigger::HolderSilent { .. } => false,
                    Trigger::Digit(_)
                    | Trigger::HolderFor { .. }
                    | Trigger::HandoffsFailed { .. }
                    | Trigger::HolderFailed
                    | Trigger::State => true,
                })
            });
        }
    }

    /// Whether this key would set off a rule, were the switch to it over.
    pub(crate) fn has_digit_rule(&self, now: Instant, holder: &Holder, digit: Digit) -> bool {
        let applies = |_: &Self, rule: &Rule| rule.on == Trigger::Digit(digit);
        self.find_rule(now, holder, applies).is_some()
    }

    /// The caller has pressed a key; whether a rule has used it, so that nobody else gets it.
    pub(crate) fn digit_rule(&mut self, turn: &mut Turn<'_>, digit: Digit) -> bool {
        let Phase::Active { holder } = &self.phase else {
            return false;
        };
        let holder = holder.clone();
        let found = self.find_rule(turn.now, &holder, |_, rule| {
            rule.on == Trigger::Digit(digit)
        });
        match found {
            Some(number) => {
                self.fire_rule(turn, number);
                true
            }
            None => false,
        }
    }

    /// Fires what is due; each rule that fires does so for the last time in this holding, so this ends.
    pub(crate) fn apply_rules(&mut self, turn: &mut Turn<'_>) {
        let active = matches!(self.phase, Phase::Active { .. });
        if active && self.watch.holding != self.counts.handoffs_done {
            self.watch.begin(turn.now, self.counts.handoffs_done);
        }
        self.take_held_digits(turn);
        while let Phase::Active { holder } = &self.phase {
            let holder = holder.clone();
            self.look_at_state(turn.now, &holder);
            let found = self.find_rule(turn.now, &holder, |call, rule| match rule.on {
                Trigger::CallerSilent { .. }
                | Trigger::HolderSilent { .. }
                | Trigger::HolderFor { .. } => call.due(rule).is_some_and(|due| due <= turn.now),
                Trigger::HandoffsFailed { count } => call.watch.failed >= count,
                // It has been looked at, and stands among the fired ones if it is not to.
                Trigger::State => true,
                Trigger::Digit(_) | Trigger::HolderFailed => false,
            });
            let Some(number) = found else { return };
            self.watch.fired.insert(number);
            self.fire_rule(turn, number);
        }
    }

    /// The next rule that time alone can fire.
    pub(crate) fn rules_timeout(&self) -> Option<(Instant, Timer)> {
        let Phase::Active { holder } = &self.phase else {
            return None;
        };
        let rules = self.plan.config().rules.iter().enumerate();
        rules
            .filter(|(number, rule)| {
                !self.watch.fired.contains(number) && rule.from.contains(&holder.specialist)
            })
            .filter_map(|(number, rule)| Some((self.due(rule)?, Timer::Rule(number))))
            .min()
    }

    /// Its time has come; one whose condition does not hold has had it.
    pub(crate) fn rule_timed_out(&mut self, turn: &mut Turn<'_>, number: usize) {
        self.apply_rules(turn);
        self.watch.fired.insert(number);
    }

    /// Whom rules want in the place of a lost holder.
    pub(crate) fn rules_for_lost(
        &self,
        now: Instant,
        lost: &SpecialistName,
    ) -> Vec<SpecialistName> {
        let rules = self.plan.config().rules.iter();
        let wanted =
            rules.filter(|rule| rule.on == Trigger::HolderFailed && rule.from.contains(lost));
        wanted
            .filter_map(|rule| {
                let to = self.rule_target(rule)?;
                self.rule_holds(now, rule, lost, to).then(|| to.clone())
            })
            .collect()
    }

    fn due(&self, rule: &Rule) -> Option<Instant> {
        let watch = &self.watch;
        let voice = &watch.voice;
        let quiet = !watch.caller_talks && !voice.talks;
        let since = match rule.on {
            Trigger::HolderFor { .. } => Some(watch.since),
            Trigger::CallerSilent { .. } => {
                (quiet && voice.last_talker == Some(Talker::Holder)).then_some(voice.quiet_since)
            }
            Trigger::HolderSilent { .. } => {
                (quiet && voice.last_talker != Some(Talker::Holder)).then_some(voice.quiet_since)
            }
            Trigger::Digit(_)
            | Trigger::HandoffsFailed { .. }
            | Trigger::HolderFailed
            | Trigger::State => None,
        };
        Some(since? + Duration::from_millis(rule.on.ms()?))
    }

    /// The first rule that `applies`, has not fired, is for this holder, leads elsewhere, and whose condition holds.
    fn find_rule(
        &self,
        now: Instant,
        holder: &Holder,
        applies: impl Fn(&Self, &Rule) -> bool,
    ) -> Option<usize> {
        let from = &holder.specialist;
        let rules = self.plan.config().rules.iter().enumerate();
        let mut candidates = rules.filter(|(number, rule)| {
            !self.watch.fired.contains(number) && rule.from.contains(from) && applies(self, rule)
        });
        candidates
            .find(|(_, rule)| {
                self.rule_target(rule)
                    .is_some_and(|to| to != from && self.rule_holds(now, rule, from, to))
            })
            .map(|(number, _)| number)
    }

    fn rule_target<'a>(&'a self, rule: &'a Rule) -> Option<&'a SpecialistName> {
        match &rule.to {
            Target::Specialist(name) => Some(name),
            Target::Previous => self.previous.as_ref(),
        }
    }

    /// Whether the rule's condition holds. One that has no answer does not.
    fn rule_holds(
        &self,
        now: Instant,
        rule: &Rule,
        from: &SpecialistName,
        to: &SpecialistName,
    ) -> bool {
        let Some(condition) = &rule.when else {
            return true;
        };
        condition
            .evaluate(&self.facts(now, Some(from), to, &rule.reason))
            .unwrap_or(false)
    }

    /// Looks at the rules on the state once for each version and holding: one fires when it has become true.
    fn look_at_state(&mut self, now: Instant, holder: &Holder) {
        // The state has yet to be told.
        if self.watch.resumed && self.known.state_version == 0 {
            return self.watch.fired.extend(self.state_rules());
        }
        let moment = (self.watch.holding, self.known.state_version);
        if self.watch.looked.replace(moment) == Some(moment) {
            return;
        }
        let resumed = std::mem::take(&mut self.watch.resumed);
        let plan = self.plan.clone();
        let rules = plan.config().rules.iter().enumerate();
        for (number, rule) in rules.filter(|(_, rule)| rule.on == Trigger::State) {
            let from = &holder.specialist;
            if !rule.from.contains(from) {
                continue;
            }
            let to = self.rule_target(rule).cloned();
            let holds = to.is_some_and(|to| self.rule_holds(now, rule, from, &to));
            let held = self.watch.truths.insert(number, holds).unwrap_or(resumed);
            match holds && !held {
                true => self.watch.fired.remove(&number),
                false => self.watch.fired.insert(number),
            };
        }
    }

    fn state_rules(&self) -> Vec<usize> {
        let rules = self.plan.config().rules.iter().enumerate();
        rules
            .filter(|(_, rule)| rule.on == Trigger::State)
            .map(|(number, _)| number)
            .collect()
    }

    fn fire_rule(&mut self, turn: &mut Turn<'_>, number: usize) {
        let plan = self.plan.clone();
        let Some(rule) = plan.config().rules.get(number) else {
            return;
        };
        self.counts.rules_fired += 1;
        turn.record(Fact::RuleFired { rule: number });
        let request = HandoffRequest {
            asker: Asker::Rule,
            request: self.next_rule_request(),
            target: rule.to.clone(),
            reason: rule.reason.clone(),
            tool_call: None,
            splice: None,
            delegating: None,
        };
        self.requested(turn, request);
    }

    /// Baton's own number for what it asks of itself.
    pub(crate) fn next_rule_request(&mut self) -> RequestId {
        self.watch.newest_request = self.watch.newest_request.next();
        self.watch.newest_request
    }
}
