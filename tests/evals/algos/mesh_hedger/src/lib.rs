//! Does the opposite of what its peer "maker" reports with a market order, and tells it when that has filled.
#![no_std]
extern crate alloc;
use algo_sdk::messaging::send;
use algo_sdk::*;

sequence_algo_entry!();

struct Hedger {
    next_id: u64,
}

impl Algo for Hedger {
    fn on_book(&mut self, _book: &L2Book, _state: &AlgoState, _features: &OnlineFeatures, _actions: &mut Actions) {}

    fn on_fill(&mut self, fill: &Fill, _state: &AlgoState) {
        send("maker", &fill.qty_1e8.to_le_bytes());
    }

    fn on_message(&mut self, from: &str, payload: &[u8], state: &AlgoState, actions: &mut Actions) {
        let Ok(bytes) = <[u8; 8]>::try_from(payload) else {
            log_info!("from {} {} mesh {} {}", from, core::str::from_utf8(payload).unwrap_or("?"), state.mesh_id, state.mesh_peer_count);
            return;
        };
        let filled = i64::from_le_bytes(bytes);
        let id = self.next_id;
        self.next_id += 1;
        if filled > 0 {
            actions.market_sell(id, filled);
        } else {
            actions.market_buy(id, -filled);
        }
    }

    fn on_shutdown(&mut self, _state: &AlgoState, _actions: &mut Actions) {
        send("maker", b"gone");
    }
}

export_algo!(Hedger { next_id: 1 });
