//! Keeps one bid and one ask at the touch; tells its peer "hedger" of every fill and logs what the hedger answers.
#![no_std]
extern crate alloc;
use algo_sdk::messaging::send;
use algo_sdk::*;

sequence_algo_entry!();

const QTY_1E8: i64 = 10_000_000;

struct Maker {
    next_id: u64,
    bid_id: u64,
    ask_id: u64,
    greeted: bool,
}

impl Algo for Maker {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, _features: &OnlineFeatures, actions: &mut Actions) {
        if !self.greeted {
            self.greeted = true;
            log_info!("mesh {} {}", state.mesh_id, state.mesh_peer_count);
            send("hedger", b"hello");
            send("nobody", b"the SDK drops this: it knows no such label");
        }
        if book.bid_ct == 0 || book.ask_ct == 0 {
            return;
        }
        if state.find_order(self.bid_id).is_none() {
            self.bid_id = self.next_id;
            self.next_id += 1;
            actions.post_only_buy(self.bid_id, QTY_1E8, book.bids[0].px_1e9);
        }
        if state.find_order(self.ask_id).is_none() {
            self.ask_id = self.next_id;
            self.next_id += 1;
            actions.post_only_sell(self.ask_id, QTY_1E8, book.asks[0].px_1e9);
        }
    }

    fn on_fill(&mut self, fill: &Fill, _state: &AlgoState) {
        let signed = fill.qty_1e8 * fill.side as i64;
        send("hedger", &signed.to_le_bytes());
    }

    fn on_message(&mut self, from: &str, payload: &[u8], state: &AlgoState, _actions: &mut Actions) {
        log_info!("from {} {} bytes, position {}", from, payload.len(), state.position_1e8);
    }
}

export_algo!(Maker { next_id: 1, bid_id: 0, ask_id: 0, greeted: false });
