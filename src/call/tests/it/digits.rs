//! Whose digits count, and who gets them.

use call::{Command, Departure, Digit, Event, Timer};

use crate::harness::{Bench, CALLER, config, rejected};

impl Bench {
    fn presses(&mut self, who: &str, key: char) -> Vec<Command> {
        let digit = Digit::new(key).expect("a key of a phone");
        self.on(Event::DtmfPressed {
            identity: who.into(),
            digit,
        })
    }
}

/// Which digits went to whom, with their numbers.
fn given(out: &[Command]) -> Vec<(String, u64, char)> {
    out.iter()
        .filter_map(|command| match command {
            Command::Dtmf {
                identity,
                number,
                digit,
                ..
            } => Some((identity.to_string(), *number, digit.as_char())),
            _ => None,
        })
        .collect()
}

fn given_to(name: &str, digits: &[(u64, char)]) -> Vec<(String, u64, char)> {
    digits
        .iter()
        .map(|&(number, key)| (name.to_owned(), number, key))
        .collect()
}

#[test]
fn the_holder_gets_each_digit_of_the_caller_once() {
    let mut bench = Bench::active(config());
    let first = bench.presses(CALLER, '1');
    assert_eq!(given(&first), given_to("agent-triage-1", &[(1, '1')]));
    let second = bench.presses(CALLER, '#');
    assert_eq!(given(&second), given_to("agent-triage-1", &[(2, '#')]));
    bench.switches_to("triage", "billing");
    assert_eq!(
        given(&bench.takes("billing")),
        [],
        "what the old one has is not given again"
    );
    let all: Vec<Command> = bench
        .log
        .iter()
        .map(|(_, command)| command.clone())
        .collect();
    assert_eq!(given(&all).len(), 2);
}

#[test]
fn a_digit_of_anybody_else_is_counted_and_ignored() {
    let mut bench = Bench::active(config());
    let specialist = bench.identity("triage");
    for who in ["sip_+15550777", "web", specialist.as_str()] {
        let out = bench.presses(who, '0');
        assert!(rejected(&out) && given(&out).is_empty(), "{who}: {out:?}");
    }
    assert_eq!(bench.call.snapshot().counts.digits_forged, 3);
}

#[test]
fn digits_pressed_through_a_switch_go_to_the_new_holder() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    let out = bench.presses(CALLER, '4');
    assert_eq!(given(&out), given_to("agent-billing-2", &[(1, '4')]));
    bench.takes("billing");
    let out = bench.presses(CALLER, '2');
    assert_eq!(given(&out), given_to("agent-billing-2", &[(2, '2')]));
}

#[test]
fn an_old_holder_that_takes_the_baton_back_gets_the_digits_of_the_failed_switch() {
    let mut bench = Bench::active(config());
    bench.switches_to("triage", "billing");
    bench.presses(CALLER, '4');
    bench.presses(CALLER, '2');
    // Billing never takes its grant.
    let out = bench.fire_until(Timer::Switch);
    assert_eq!(
        given(&out),
        given_to("agent-triage-1", &[(1, '4'), (2, '2')])
    );
}

#[test]
fn digits_that_nobody_hears_wait_for_the_next_holder_and_follow_its_grant() {
    let mut bench = Bench::new(config());
    bench.caller_hears();
    assert_eq!(given(&bench.presses(CALLER, '7')), []);
    bench.comes("triage");
    let out = bench.gets_ready("triage");
    let grant = out
        .iter()
        .position(|command| matches!(command, Command::Grant { .. }));
    let digit = out
        .iter()
        .position(|command| matches!(command, Command::Dtmf { .. }));
    assert!(grant.is_some() && grant < digit, "{out:?}");
    assert_eq!(given(&out), given_to("agent-triage-1", &[(1, '7')]));
}

#[test]
fn a_holder_that_comes_back_gets_what_was_pressed_while_it_was_away() {
    let mut bench = Bench::active(config());
    let identity = bench.identity("triage");
    bench.leaves(identity.clone(), Departure::MayReturn);
    bench.presses(CALLER, '9');
    bench.joins(identity.as_str(), call::ParticipantKind::Agent);
    let out = bench.hello("triage");
    assert_eq!(given(&out), given_to("agent-triage-1", &[(1, '9')]));
}

#[test]
fn of_too_many_digits_the_oldest_are_forgotten() {
    let mut bench = Bench::new(config());
    bench.caller_hears();
    for _ in 0..40 {
        bench.presses(CALLER, '5');
    }
    bench.comes("triage");
    let numbers: Vec<u64> = given(&bench.gets_ready("triage"))
        .into_iter()
        .map(|(_, number, _)| number)
        .collect();
    assert_eq!(numbers, (9..=40).collect::<Vec<u64>>());
}
