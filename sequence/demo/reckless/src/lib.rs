//! What a gate is for: an algo that pays the spread on every book and doubles down past its limits.
#![no_std]
extern crate alloc;
use algo_sdk::*;

sequence_algo_entry!();

const SIZE_1E8: i64 = 5_000_000; // 0.05
const DOUBLE_DOWN_1E8: i64 = 10_000_000_000; // 100: far over any limit

struct Reckless {
    next_id: u64,
}

impl Algo for Reckless {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, _features: &OnlineFeatures, actions: &mut Actions) {
        if book.mid_px_1e9() == 0 {
            return;
        }
        self.next_id += 1;
        if state.position_1e8 > 0 {
            actions.market_sell(self.next_id, SIZE_1E8);
        } else {
            actions.market_buy(self.next_id, SIZE_1E8);
        }
        if self.next_id % 64 == 0 {
            self.next_id += 1;
            actions.market_buy(self.next_id, DOUBLE_DOWN_1E8);
        }
    }
}

export_algo!(Reckless { next_id: 0 });
