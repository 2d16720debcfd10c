//! Quotes one bid and one ask around the mid, moves them when the mid has moved, never beyond its position limit.
#![no_std]
extern crate alloc;
use algo_sdk::config::ConfigRegion;
use algo_sdk::*;

sequence_algo_entry!();

struct Maker {
    next_id: u64,
    bid_id: u64,
    ask_id: u64,
    quoted_mid_1e9: u64,
}

impl Maker {
    fn side(&mut self, state: &AlgoState, actions: &mut Actions, is_bid: bool, px_1e9: u64, qty_1e8: i64) {
        let old = if is_bid { self.bid_id } else { self.ask_id };
        if state.find_order(old).is_some() {
            actions.cancel(old);
        }
        let id = self.next_id;
        self.next_id += 1;
        if is_bid {
            self.bid_id = id;
            actions.post_only_buy(id, qty_1e8, px_1e9);
        } else {
            self.ask_id = id;
            actions.post_only_sell(id, qty_1e8, px_1e9);
        }
    }
}

impl Algo for Maker {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, _features: &OnlineFeatures, actions: &mut Actions) {
        let mid = book.mid_px_1e9();
        if mid == 0 {
            return;
        }
        let config = unsafe { ConfigRegion::read() };
        let half = mid / 20_000 * config.get_i64(2) as u64;
        if mid.abs_diff(self.quoted_mid_1e9) < half / 2 && state.order_ct == 2 {
            return;
        }
        self.quoted_mid_1e9 = mid;
        let qty = config.get_i64(3);
        let limit = config.get_i64(4);
        if state.position_1e8 + qty <= limit {
            let px = state.symbol.round_px((mid - half).min(book.bids[0].px_1e9));
            self.side(state, actions, true, px, qty);
        }
        if state.position_1e8 - qty >= -limit {
            let tick = state.symbol.tick_size_1e9;
            let px = state.symbol.round_px((mid + half + tick - 1).max(book.asks[0].px_1e9));
            self.side(state, actions, false, px, qty);
        }
    }

    fn on_shutdown(&mut self, state: &AlgoState, actions: &mut Actions) {
        actions.cancel_all(state);
    }
}

export_algo!(Maker { next_id: 1, bid_id: 0, ask_id: 0, quoted_mid_1e9: 0 });
