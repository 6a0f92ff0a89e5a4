//! What a network does to the packets of a voice: the same for every packet of the same place in the stream, in every run.

use std::time::Duration;

/// Places that a pattern has; a voice of 50 packets a second passes them in 80 s.
const PLACES: usize = 4_096;

/// A network, by what it does to packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    pub(crate) name: &'static str,
    kind: Kind,
    /// Chosen so that the share of lost packets in the first half minute is close to the nominal one, which a test holds.
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Clean,
    /// Each packet is lost with this probability, whatever becomes of the others.
    Random {
        share: f64,
    },
    /// Gilbert's model: a good state in which nothing is lost and a bad one in which all is.
    Bursts {
        share: f64,
        mean_packets: f64,
    },
    /// Each packet takes longer by something between nothing and twice this, all being equally likely.
    Jitter {
        around_ms: f64,
    },
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Lost,
    After(Duration),
}

/// The fates of the packets of a voice, by their place.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Vec<Fate>);

pub(crate) const CONDITIONS: [Condition; 8] = [
    Condition::new("clean", Kind::Clean, 0),
    Condition::new("random 1 %", Kind::Random { share: 0.01 }, 3),
    Condition::new("random 5 %", Kind::Random { share: 0.05 }, 5),
    Condition::new("random 10 %", Kind::Random { share: 0.10 }, 2),
    Condition::new("bursts 1 %", bursts(0.01), 341),
    Condition::new("bursts 5 %", bursts(0.05), 10),
    Condition::new("bursts 10 %", bursts(0.10), 4),
    Condition::new("jitter 30 ms", Kind::Jitter { around_ms: 30.0 }, 7),
];

const fn bursts(share: f64) -> Kind {
    Kind::Bursts {
        share,
        mean_packets: 3.5,
    }
}

impl Condition {
    const fn new(name: &'static str, kind: Kind, seed: u64) -> Self {
        Self { name, kind, seed }
    }

    pub(crate) fn pattern(&self) -> Pattern {
        let mut random = Random(self.seed);
        let mut bad = false;
        let fates = (0..PLACES).map(|_| match self.kind {
            Kind::Clean => Fate::After(Duration::ZERO),
            Kind::Random { share } => lost_if(random.below_one() < share),
            Kind::Bursts {
                share,
                mean_packets,
            } => {
                let leaves = 1.0 / mean_packets;
                let enters = leaves * share / (1.0 - share);
                let changes = random.below_one() < if bad { leaves } else { enters };
                bad ^= changes;
                lost_if(bad)
            }
            Kind::Jitter { around_ms } => {
                let ms = 2.0 * around_ms * random.below_one();
                Fate::After(Duration::from_secs_f64(ms / 1_000.0))
            }
        });
        Pattern(fates.collect())
    }
}

impl Pattern {
    /// The fate of the packet at `place`; what comes after the last place begins anew.
    pub(crate) fn fate(&self, place: u16) -> Fate {
        self.0[usize::from(place) % self.0.len()]
    }
}

fn lost_if(lost: bool) -> Fate {
    if lost {
        Fate::Lost
    } else {
        Fate::After(Duration::ZERO)
    }
}

/// Sebastiano Vigna's SplitMix64: the numbers must stay the same whatever becomes of a library.
struct Random(u64);

impl Random {
    fn below_one(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places that half a minute of speech passes.
    const HEARD: u16 = 1_700;

    fn fates(condition: &Condition) -> Vec<Fate> {
        let pattern = condition.pattern();
        (0..HEARD).map(|place| pattern.fate(place)).collect()
    }

    fn runs(fates: &[Fate]) -> usize {
        let begins = |pair: &[Fate]| pair[0] != Fate::Lost && pair[1] == Fate::Lost;
        fates.windows(2).filter(|pair| begins(pair)).count()
    }

    #[test]
    fn as_many_packets_are_lost_as_the_name_says() {
        for condition in &CONDITIONS {
            let fates = fates(condition);
            let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count() as f64;
            let share = lost / f64::from(HEARD);
            match condition.kind {
                Kind::Clean | Kind::Jitter { .. } => assert_eq!(lost, 0.0, "{}", condition.name),
                Kind::Random { share: nominal } => {
                    let run = lost / runs(&fates) as f64;
                    assert!(
                        (share / nominal - 1.0).abs() < 0.15 && run < 1.3,
                        "{}: {share}, runs of {run}",
                        condition.name
                    );
                }
                Kind::Bursts {
                    share: nominal,
                    mean_packets,
                } => {
                    let run = lost / runs(&fates) as f64;
                    assert!(
                        (share / nominal - 1.0).abs() < 0.15
                            && (run / mean_packets - 1.0).abs() < 0.3,
                        "{}: {share}, runs of {run}",
                        condition.name
                    );
                }
            }
        }
    }

    #[test]
    fn jitter_lies_between_nothing_and_twice_its_name() {
        let jitter = CONDITIONS
            .iter()
            .find(|condition| condition.name == "jitter 30 ms");
        let fates = fates(jitter.expect("it is there"));
        let ms: Vec<f64> = fates
            .iter()
            .map(|fate| match fate {
                Fate::After(delay) => delay.as_secs_f64() * 1_000.0,
                Fate::Lost => panic!("jitter loses nothing"),
            })
            .collect();
        assert!(ms.iter().all(|ms| (0.0..60.0).contains(ms)));
        let mean = ms.iter().sum::<f64>() / ms.len() as f64;
        assert!((mean - 30.0).abs() < 2.0, "{mean}");
    }

    #[test]
    fn a_pattern_is_the_same_each_time() {
        let condition = CONDITIONS[2];
        assert_eq!(fates(&condition), fates(&condition));
        let lost: Vec<usize> = fates(&condition)
            .iter()
            .enumerate()
            .filter(|(_, fate)| **fate == Fate::Lost)
            .map(|(place, _)| place)
            .take(4)
            .collect();
        assert_eq!(lost, [39, 63, 75, 83]);
    }
}
