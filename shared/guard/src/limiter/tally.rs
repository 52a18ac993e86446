//! What one process admitted of one key, and what it heard of the others.

/// Counts between two exchanges with a counter that all processes share. The counter is one per
/// window of time, so that it may end by itself and nobody mistakes a new one for an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    window: u32,
    /// Admitted here and not said yet.
    unsaid: u32,
    /// Said in this window.
    said: u32,
    /// Admitted by others in this window, as far as heard.
    others: u64,
    /// Whether anything was heard before: what others did before this process knew the key is
    /// not its business.
    heard: bool,
}

impl Tally {
    /// One more was admitted.
    pub fn count(&mut self) {
        self.unsaid = self.unsaid.saturating_add(1);
    }

    /// One that was counted was not admitted after all. What is said already stays said.
    pub fn uncount(&mut self) {
        self.unsaid = self.unsaid.saturating_sub(1);
    }

    /// What there is to say; said from now on.
    pub fn say(&mut self, window: u32) -> u32 {
        self.turn(window);
        let count = std::mem::take(&mut self.unsaid);
        self.said = self.said.saturating_add(count);
        count
    }

    /// It could not be said.
    pub fn unsay(&mut self, window: u32, count: u32) {
        if window == self.window {
            self.said = self.said.saturating_sub(count);
        }
        self.unsaid = self.unsaid.saturating_add(count);
    }

    /// Hears the counter and answers what others admitted since the last time. Totals that arrive
    /// out of order are nothing new.
    pub fn hear(&mut self, window: u32, total: u64) -> u64 {
        if window != self.window {
            return 0;
        }
        let others = total.saturating_sub(self.said.into());
        let more = others.saturating_sub(self.others);
        self.others = self.others.max(others);
        if std::mem::replace(&mut self.heard, true) {
            more
        } else {
            0
        }
    }

    /// Begins a window; its counter starts from nothing.
    fn turn(&mut self, window: u32) {
        if window != self.window {
            let unsaid = self.unsaid;
            let heard = self.heard;
            *self = Self {
                window,
                unsaid,
                heard,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Admits `count` and says so to the shared counter.
    fn exchange(tally: &mut Tally, count: u32, window: u32, total: &mut u64) -> u64 {
        (0..count).for_each(|_| tally.count());
        *total += u64::from(tally.say(window));
        tally.hear(window, *total)
    }

    #[test]
    fn each_hears_what_the_others_admitted_and_nothing_twice() {
        let (mut here, mut there) = (Tally::default(), Tally::default());
        let mut total = 0;
        assert_eq!(exchange(&mut here, 2, 0, &mut total), 0);
        assert_eq!(exchange(&mut there, 3, 0, &mut total), 0, "before its time");
        assert_eq!(exchange(&mut here, 1, 0, &mut total), 3);
        assert_eq!(exchange(&mut here, 0, 0, &mut total), 0);
        assert_eq!(exchange(&mut there, 4, 0, &mut total), 1);
        assert_eq!(exchange(&mut here, 0, 0, &mut total), 4);
        assert_eq!(total, 10);
    }

    #[test]
    fn a_new_window_starts_a_new_counter() {
        let (mut here, mut there) = (Tally::default(), Tally::default());
        let (mut old, mut new) = (0, 0);
        exchange(&mut here, 2, 4, &mut old);
        exchange(&mut there, 5, 4, &mut old);
        assert_eq!(exchange(&mut there, 1, 5, &mut new), 0);
        assert_eq!(exchange(&mut here, 1, 5, &mut new), 1);
        assert_eq!(here.hear(4, 100), 0, "of a window that is over");
    }

    #[test]
    fn what_could_not_be_said_is_said_the_next_time() {
        let mut tally = Tally::default();
        tally.count();
        tally.count();
        assert_eq!(tally.say(3), 2);
        tally.unsay(3, 2);
        tally.count();
        assert_eq!(tally.say(3), 3);
        assert_eq!(tally.hear(3, 3), 0);
        assert_eq!(tally.hear(3, 4), 1);
        assert_eq!(tally.say(4), 0);
        tally.unsay(3, 2);
        assert_eq!(tally.say(4), 2);
        assert_eq!(tally.hear(4, 2), 0, "the counter of the new window");
    }

    #[test]
    fn totals_out_of_order_are_nothing_new() {
        let mut tally = Tally::default();
        assert_eq!(tally.say(1), 0);
        assert_eq!(tally.hear(1, 5), 0);
        assert_eq!(tally.hear(1, 9), 4);
        assert_eq!(tally.hear(1, 6), 0);
        assert_eq!(tally.hear(1, 10), 1);
    }
}
