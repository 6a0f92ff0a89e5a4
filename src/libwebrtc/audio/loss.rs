//! How much loss an encoder is to arm against, from what the other side reports.

/// Steps in percent. Changing the encoder at each report would make its bit rate restless.
const STEPS: [u8; 6] = [0, 1, 3, 5, 10, 20];
/// Weight of a report against those before it; one comes every few seconds.
const WEIGHT: f32 = 0.3;
/// A step is left downwards only below this share of it.
const LEAVE_BELOW: f32 = 0.7;

/// The loss that is expected.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ExpectedLoss {
    average_percent: f32,
    step_percent: u8,
}

impl ExpectedLoss {
    /// Takes a report, a share of 0 to 1. What is no such number is left out.
    pub(crate) fn report(&mut self, share: f32) {
        if !(0.0..=1.0).contains(&share) {
            return;
        }
        self.average_percent += WEIGHT * (share * 100.0 - self.average_percent);
        let reached = |step: &&u8| self.average_percent >= f32::from(**step);
        let step = STEPS.iter().rev().find(reached).copied().unwrap_or(0);
        let leaves = self.average_percent < LEAVE_BELOW * f32::from(self.step_percent);
        if step > self.step_percent || leaves {
            self.step_percent = step;
        }
    }

    /// What to arm against, in percent.
    pub(crate) fn percent(self) -> u8 {
        self.step_percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(reports: &[(f32, usize)]) -> u8 {
        let mut loss = ExpectedLoss::default();
        for (share, times) in reports {
            for _ in 0..*times {
                loss.report(*share);
            }
        }
        loss.percent()
    }

    #[test]
    fn it_follows_lasting_loss_and_lets_go_of_it() {
        assert_eq!(after(&[]), 0);
        assert_eq!(after(&[(0.05, 20)]), 3, "not quite 5 % on average");
        assert_eq!(after(&[(0.12, 20)]), 10);
        assert_eq!(after(&[(1.0, 20)]), 20);
        assert_eq!(after(&[(0.12, 20), (0.0, 20)]), 0);
    }

    #[test]
    fn it_does_not_flutter_around_a_step() {
        assert_eq!(after(&[(0.11, 20), (0.09, 20)]), 10);
        assert_eq!(after(&[(0.11, 20), (0.06, 20)]), 5);
    }

    #[test]
    fn nonsense_is_left_out() {
        assert_eq!(after(&[(0.12, 20), (f32::NAN, 1), (-1.0, 5), (7.0, 5)]), 10);
    }
}
