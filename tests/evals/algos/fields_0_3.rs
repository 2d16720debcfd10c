// The structures that all three forms of an algo of SDK 0.3 are handed.

structures! {
    Level { px_1e9 sz_1e8 }
    L2Book { bids asks bid_ct ask_ct symbol_id _pad recv_ns }
    OpenOrder { order_id px_1e9 qty_1e8 filled_1e8 side status _pad }
    SymbolMeta { tick_size_1e9 lot_size_1e8 min_qty_1e8 min_notional_1e9 price_precision qty_precision _pad }
    RiskSnapshot { max_position_1e8 max_daily_loss_1e9 max_order_notional_1e9 max_order_rate reduce_only _pad }
    AlgoState {
        position_1e8 avg_entry_1e9 realized_pnl_1e9 unrealized_pnl_1e9 orders order_ct _pad
        session_pnl_1e9 total_fill_count symbol risk
    }
    Fill { order_id px_1e9 qty_1e8 recv_ns side _pad }
    Reject { order_id code _pad }
}

/// Adds one action of every kind that SDK 0.3 can make, twelve in all.
fn act(actions: &mut Actions) {
    actions.buy(1, 2, 3);
    actions.sell(4, 5, 6);
    actions.market_buy(7, 8);
    actions.market_sell(9, 10);
    actions.ioc_buy(11, 12, 13);
    actions.fok_sell(20, 21, 22);
    actions.post_only_buy(23, 24, 25);
    actions.cancel(29);
    actions.amend(30, 31, 32);
    actions.amend_on(2, 33, 34, 35);
    actions.buy_on(3, 36, 37, 38);
    actions.ioc_sell_on(4, 39, 40, 41);
}

macro_rules! answers {
    () => {
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
    };
}
