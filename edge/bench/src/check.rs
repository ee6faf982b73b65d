//! Whether what arrived is exactly what was published: everything, once, in order, unchanged.

/// Watches the sequence numbers that each client receives. They count from 0.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Per client the sequence number that must come next.
    next: Vec<u64>,
    delivered: u64,
    skipped: u64,
    repeated: u64,
    damaged: u64,
}

impl Checker {
    /// A checker for so many clients, each of which receives every publication.
    pub(crate) fn new(clients: usize) -> Self {
        Self {
            next: vec![0; clients],
            ..Self::default()
        }
    }

    /// A publication arrived.
    pub(crate) fn arrived(&mut self, client: usize, sequence: u64) {
        self.delivered += 1;
        let Some(next) = self.next.get_mut(client) else {
            self.damaged += 1;
            return;
        };
        if sequence < *next {
            self.repeated += 1;
            return;
        }
        self.skipped += sequence - *next;
        *next = sequence + 1;
    }

    /// Something arrived that is not a whole payload of this run.
    pub(crate) fn damaged(&mut self) {
        self.damaged += 1;
    }

    /// Clients that are watched.
    pub(crate) fn clients(&self) -> usize {
        self.next.len()
    }

    /// Publications that arrived so far, right or wrong.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Why the run does not count, after `published` publications: empty if it does.
    pub(crate) fn faults(&self, published: u64) -> Vec<String> {
        let expected = published * self.next.len() as u64;
        let missing: u64 = self
            .next
            .iter()
            .map(|next| published.saturating_sub(*next))
            .sum();
        let mut faults = Vec::new();
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                faults.push(format!("{count} {what}"));
            }
        };
        note(self.skipped, "deliveries skipped (lost or late)");
        note(missing, "deliveries missing at the end");
        note(self.repeated, "deliveries repeated or out of order");
        note(self.damaged, "messages damaged or not of this run");
        if faults.is_empty() && self.delivered != expected {
            faults.push(format!("{} delivered, {expected} expected", self.delivered));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(arrivals: &[(usize, u64)]) -> Vec<String> {
        let mut checker = Checker::new(2);
        for (client, sequence) in arrivals {
            checker.arrived(*client, *sequence);
        }
        checker.faults(2)
    }

    #[test]
    fn everything_once_and_in_order_is_right() {
        assert!(after(&[(0, 0), (1, 0), (1, 1), (0, 1)]).is_empty());
    }

    #[test]
    fn a_loss_in_the_middle_is_a_fault() {
        assert_eq!(
            after(&[(0, 1), (1, 0), (1, 1)]),
            ["1 deliveries skipped (lost or late)"]
        );
    }

    #[test]
    fn a_loss_at_the_end_is_a_fault() {
        assert_eq!(
            after(&[(0, 0), (1, 0), (1, 1)]),
            ["1 deliveries missing at the end"]
        );
    }

    #[test]
    fn a_duplicate_is_a_fault() {
        assert_eq!(
            after(&[(0, 0), (0, 0), (0, 1), (1, 0), (1, 1)]),
            ["1 deliveries repeated or out of order"]
        );
    }

    #[test]
    fn two_that_changed_places_are_a_fault() {
        let faults = after(&[(0, 1), (0, 0), (1, 0), (1, 1)]);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn a_damaged_message_is_a_fault_even_if_nothing_is_missing() {
        let mut checker = Checker::new(1);
        checker.damaged();
        checker.arrived(0, 0);
        assert_eq!(checker.faults(1), ["1 messages damaged or not of this run"]);
    }
}
