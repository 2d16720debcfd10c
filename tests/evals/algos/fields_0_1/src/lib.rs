//! Logs every field that an algo of SDK 0.1 is handed, and returns one action of every kind that it can make.
#![no_std]
extern crate alloc;
use algo_sdk::*;

include!("../../old_entry.rs");
include!("../../fields.rs");

structures! {
    Level { px_1e9 sz_1e8 }
    L2Book { bids asks bid_ct ask_ct symbol_id _pad recv_ns }
    OpenOrder { order_id px_1e9 qty_1e8 filled_1e8 side status _pad }
    AlgoState { position_1e8 avg_entry_1e9 realized_pnl_1e9 unrealized_pnl_1e9 orders order_ct _pad }
    Fill { order_id px_1e9 qty_1e8 recv_ns side _pad }
    Reject { order_id code _pad }
}

struct Fields;

impl Algo for Fields {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, actions: &mut Actions) {
        show("book", book);
        show("state", state);
        actions.buy(1, 2, 3);
        actions.sell(4, 5, 6);
        actions.market_buy(7, 8);
        actions.market_sell(9, 10);
        actions.ioc_buy(11, 12, 13);
        actions.ioc_sell(14, 15, 16);
        actions.fok_buy(17, 18, 19);
        actions.fok_sell(20, 21, 22);
        actions.post_only_buy(23, 24, 25);
        actions.post_only_sell(26, 27, 28);
        actions.cancel(29);
    }

    fn on_fill(&mut self, fill: &Fill, state: &AlgoState) {
        show("fill", fill);
        show("state", state);
    }

    fn on_reject(&mut self, reject: &Reject) {
        show("reject", reject);
    }

    fn on_shutdown(&mut self, state: &AlgoState, actions: &mut Actions) {
        show("state", state);
        actions.cancel(30);
    }
}

export_algo!(Fields);
