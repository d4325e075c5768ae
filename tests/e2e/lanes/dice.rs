//! Numbers that follow from a seed (splitmix64), so that what chance chose can be had again.

pub(super) struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// Of `HOMECTL_E2E_SEED`, else of the clock.
    pub(super) fn of_environment() -> Self {
        let clock = || std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let seed = std::env::var("HOMECTL_E2E_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(clock);
        Self { seed, state: seed }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// One of them, taken out.
    pub(super) fn draw<T>(&mut self, from: &mut Vec<T>) -> Option<T> {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        (at < from.len()).then(|| from.swap_remove(at))
    }

    /// All of them, in an order of its own.
    pub(super) fn shuffled<T>(&mut self, mut all: Vec<T>) -> Vec<T> {
        let mut order = Vec::with_capacity(all.len());
        while let Some(one) = self.draw(&mut all) {
            order.push(one);
        }
        order
    }
}
