//! A configuration that has been checked.

use crate::config::{
    After, Answer, CallConfig, ENTRY_RULES_MAX, FADE_MS_MAX, Fallback, Lifetime, Limits, Names,
    ROUTE_FALLBACKS_MAX, ROUTES_MAX, RULES_MAX, Route, RouteNumber, SPECIALISTS_MAX,
    SpecialistConfig, SpecialistKind, Splice, TIMER_MS_MAX, Timers,
};
use crate::event::Target;
use crate::ids::SpecialistName;
use crate::near::near_match;

/// What is wrong with a [`CallConfig`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The entry specialist is not among the specialists.
    #[error("entry specialist {name:?} is not defined{}", near_text(near))]
    UnknownEntry {
        /// The name that was given.
        name: SpecialistName,
        /// The closest name there is.
        near: Option<SpecialistName>,
    },
    /// A route names nobody.
    #[error(
        "route {index} names specialist {name:?}, which is not defined{}",
        near_text(near)
    )]
    UnknownInRoute {
        /// The route's place in the list, from 0.
        index: usize,
        /// The name that was given.
        name: SpecialistName,
        /// The closest name there is.
        near: Option<SpecialistName>,
    },
    /// A fallback of a route names nobody.
    #[error(
        "a fallback of route {index} names specialist {name:?}, which is not defined{}",
        near_text(near)
    )]
    UnknownInRouteFallback {
        /// The route's place in the list, from 0.
        index: usize,
        /// The name that was given.
        name: SpecialistName,
        /// The closest name there is.
        near: Option<SpecialistName>,
    },
    /// A route has too many fallbacks.
    #[error("route {index} has {count} fallbacks, more than {ROUTE_FALLBACKS_MAX}")]
    TooManyRouteFallbacks {
        /// The route's place in the list, from 0.
        index: usize,
        /// How many it has.
        count: usize,
    },
    /// A fallback names nobody.
    #[error(
        "fallback {index} names specialist {name:?}, which is not defined{}",
        near_text(near)
    )]
    UnknownInFallback {
        /// The fallback's place in the list, from 0.
        index: usize,
        /// The name that was given.
        name: SpecialistName,
        /// The closest name there is.
        near: Option<SpecialistName>,
    },
    /// Nobody is named by the one to escalate to.
    #[error(
        "escalation names specialist {name:?}, which is not defined{}",
        near_text(near)
    )]
    UnknownEscalation {
        /// The name that was given.
        name: SpecialistName,
        /// The closest name there is.
        near: Option<SpecialistName>,
    },
    /// Too many specialists.
    #[error("{count} specialists are more than {SPECIALISTS_MAX}")]
    TooManySpecialists {
        /// How many there are.
        count: usize,
    },
    /// A rule names nobody.
    #[error(
        "rule {index} names specialist {name:?}, which is not defined{}",
        near_text(near)
    )]
    UnknownInRule {
        /// The rule's place in the list, from 0.
        index: usize,
        /// The name that was given.
        name: SpecialistName,
        /// The closest name there is.
        near: Option<SpecialistName>,
    },
    /// Too many rules.
    #[error("{count} rules are more than {RULES_MAX}")]
    TooManyRules {
        /// How many there are.
        count: usize,
    },
    /// An entry rule names nobody.
    #[error(
        "entry rule {index} names specialist {name:?}, which is not defined{}",
        near_text(near)
    )]
    UnknownInEntryRule {
        /// The rule's place in the list, from 0.
        index: usize,
        /// The name that was given.
        name: SpecialistName,
        /// The closest name there is.
        near: Option<SpecialistName>,
    },
    /// Too many entry rules.
    #[error("{count} entry rules are more than {ENTRY_RULES_MAX}")]
    TooManyEntryRules {
        /// How many there are.
        count: usize,
    },
    /// Too many routes.
    #[error("{count} routes are more than {ROUTES_MAX}")]
    TooManyRoutes {
        /// How many there are.
        count: usize,
    },
    /// A crossfade is too long.
    #[error("route {index} has a fade of {fade_ms} ms, more than {FADE_MS_MAX} ms")]
    FadeTooLong {
        /// The route's place in the list, from 0.
        index: usize,
        /// What was given, in milliseconds.
        fade_ms: u32,
    },
    /// A timer is zero or longer than a day.
    #[error("{timer} is {ms} ms, outside 1 to {TIMER_MS_MAX} ms")]
    TimerOutOfRange {
        /// The timer's name.
        timer: &'static str,
        /// What was given, in milliseconds.
        ms: u64,
    },
    /// A SIP address would be called before anybody asks for it.
    #[error("specialist {name} is a sip address, which has no lifetime but on demand")]
    AddressNotOnDemand {
        /// Which.
        name: SpecialistName,
    },
    /// Fewer than two instances cannot hand off.
    #[error("instances_max is {instances_max}, less than 2")]
    TooFewInstances {
        /// What was given.
        instances_max: usize,
    },
}

fn near_text(near: &Option<SpecialistName>) -> String {
    near.as_ref()
        .map(|name| format!(", did you mean {name:?}"))
        .unwrap_or_default()
}

/// A [`CallConfig`] that has been checked: every name in it is defined, every number in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    config: CallConfig,
}

impl Plan {
    /// Checks a configuration; the first thing wrong with it is the error.
    pub fn new(config: CallConfig) -> Result<Self, ConfigError> {
        let plan = Self { config };
        plan.check_counts()?;
        plan.check_names()?;
        plan.check_times()?;
        Ok(plan)
    }

    /// The configuration that was checked.
    pub fn config(&self) -> &CallConfig {
        &self.config
    }

    /// The specialist of this name.
    pub fn specialist(&self, name: &SpecialistName) -> Option<&SpecialistConfig> {
        self.config.specialists.get(name)
    }

    /// The defined name closest to `name`, if one is close.
    pub fn near(&self, name: &SpecialistName) -> Option<SpecialistName> {
        near_match(name, self.config.specialists.keys())
    }

    /// The first route from `from` to `to`.
    pub fn route(&self, from: &SpecialistName, to: &SpecialistName) -> Option<&Route> {
        self.routes(from, to).next().map(|(_, route)| route)
    }

    /// The routes from `from` to `to` with their numbers, the first first.
    pub(crate) fn routes<'a, 'n>(
        &'a self,
        from: &'n SpecialistName,
        to: &'n SpecialistName,
    ) -> impl Iterator<Item = (RouteNumber, &'a Route)> + use<'a, 'n> {
        let routes = self.config.routes.iter().enumerate();
        routes
            .filter(move |(_, route)| route.from.contains(from) && route.to.contains(to))
            .map(|(index, route)| (RouteNumber(index), route))
    }

    /// The first `max` specialists that `from` may hand off to.
    pub(crate) fn reachable(&self, from: &SpecialistName, max: usize) -> Vec<SpecialistName> {
        let names = self.config.specialists.keys();
        names
            .filter(|to| *to != from && self.route(from, to).is_some())
            .take(max)
            .cloned()
            .collect()
    }

    /// Whether anybody is to be dispatched because a handoff to it is likely.
    pub(crate) fn prewarms(&self) -> bool {
        let mut specialists = self.config.specialists.values();
        specialists.any(|specialist| specialist.lifetime == Lifetime::Prewarmed)
    }

    /// Whether it depends on the caller who takes the call.
    pub(crate) fn entry_depends(&self) -> bool {
        !self.config.entry_rules.is_empty() || self.config.entry_state_ms.is_some()
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.config.timers
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    fn check_counts(&self) -> Result<(), ConfigError> {
        let count = self.config.specialists.len();
        if count > SPECIALISTS_MAX {
            return Err(ConfigError::TooManySpecialists { count });
        }
        let count = self.config.routes.len();
        if count > ROUTES_MAX {
            return Err(ConfigError::TooManyRoutes { count });
        }
        let count = self.config.rules.len();
        if count > RULES_MAX {
            return Err(ConfigError::TooManyRules { count });
        }
        let count = self.config.entry_rules.len();
        if count > ENTRY_RULES_MAX {
            return Err(ConfigError::TooManyEntryRules { count });
        }
        let instances_max = self.config.limits.instances_max;
        if instances_max < 2 {
            return Err(ConfigError::TooFewInstances { instances_max });
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        if let Some((name, near)) = self.unknown(&self.config.entry) {
            return Err(ConfigError::UnknownEntry { name, near });
        }
        if let Some((name, near)) = self
            .config
            .escalation
            .as_ref()
            .and_then(|name| self.unknown(name))
        {
            return Err(ConfigError::UnknownEscalation { name, near });
        }
        for (index, rule) in self.config.entry_rules.iter().enumerate() {
            if let Some((name, near)) = self.unknown(&rule.to) {
                return Err(ConfigError::UnknownInEntryRule { index, name, near });
            }
        }
        for (index, route) in self.config.routes.iter().enumerate() {
            let count = route.fallback.len();
            if count > ROUTE_FALLBACKS_MAX {
                return Err(ConfigError::TooManyRouteFallbacks { index, count });
            }
            if let Some((name, near)) = self.unknown_fallback(&route.fallback) {
                return Err(ConfigError::UnknownInRouteFallback { index, name, near });
            }
            for names in [&route.from, &route.to] {
                let Names::Only(names) = names else { continue };
                if let Some((name, near)) = names.iter().find_map(|name| self.unknown(name)) {
                    return Err(ConfigError::UnknownInRoute { index, name, near });
                }
            }
        }
        for (index, rule) in self.config.rules.iter().enumerate() {
            let from = match &rule.from {
                Names::Any => &[],
                Names::Only(names) => names.as_slice(),
            };
            let to = match &rule.to {
                Target::Specialist(name) => Some(name),
                Target::Previous => None,
            };
            if let Some((name, near)) = from.iter().chain(to).find_map(|name| self.unknown(name)) {
                return Err(ConfigError::UnknownInRule { index, name, near });
            }
        }
        for (index, fallback) in self.config.fallbacks.iter().enumerate() {
            let Fallback::Specialist(name) = fallback else {
                continue;
            };
            if let Some((name, near)) = self.unknown(name) {
                return Err(ConfigError::UnknownInFallback { index, name, near });
            }
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        let in_range = |timer, ms| match ms {
            1..=TIMER_MS_MAX => Ok(()),
            _ => Err(ConfigError::TimerOutOfRange { timer, ms }),
        };
        for (timer, ms) in self.config.timers.named() {
            in_range(timer, ms)?;
        }
        if let Some(wait_ms) = self.config.entry_state_ms {
            in_range("the time for the entry's state", wait_ms)?;
        }
        if let Answer::EntryReady { ring_max_ms } = self.config.answer {
            in_range("ring_max_ms", ring_max_ms)?;
        }
        for rule in &self.config.rules {
            if let Some(ms) = rule.on.ms() {
                in_range("the time of a rule", ms)?;
            }
        }
        for (name, specialist) in &self.config.specialists {
            if let After::Park { park_ms } = specialist.after {
                in_range("park_ms", park_ms)?;
            }
            if let SpecialistKind::Sip { answer_timeout_ms } = specialist.kind {
                in_range("answer_timeout_ms", answer_timeout_ms)?;
                if specialist.lifetime != Lifetime::OnDemand {
                    return Err(ConfigError::AddressNotOnDemand { name: name.clone() });
                }
            }
        }
        for (index, route) in self.config.routes.iter().enumerate() {
            if route.fade_ms > FADE_MS_MAX {
                return Err(ConfigError::FadeTooLong {
                    index,
                    fade_ms: route.fade_ms,
                });
            }
            match route.splice {
                Splice::Now => {}
                Splice::EndOfUtterance { .. } | Splice::CallerSilent { .. } => {
                    in_range("max_wait_ms", route.splice.max_wait_ms())?;
                }
            }
        }
        Ok(())
    }

    fn unknown_fallback(
        &self,
        fallbacks: &[Fallback],
    ) -> Option<(SpecialistName, Option<SpecialistName>)> {
        fallbacks.iter().find_map(|fallback| match fallback {
            Fallback::AnotherInstance | Fallback::Previous | Fallback::Entry => None,
            Fallback::Specialist(name) => self.unknown(name),
        })
    }

    fn unknown(&self, name: &SpecialistName) -> Option<(SpecialistName, Option<SpecialistName>)> {
        let known = self.config.specialists.contains_key(name);
        (!known).then(|| (name.clone(), self.near(name)))
    }
}
