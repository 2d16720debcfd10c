//! Logs every field that an algo of SDK 0.4 is handed or reads at a fixed address, and returns actions of every kind.
#![no_std]
extern crate alloc;
use algo_sdk::config::ConfigRegion;
use algo_sdk::messaging::{MeshPeerEntry, MeshTable, MESH_TABLE_WASM_OFFSET};
use algo_sdk::*;

sequence_algo_entry!();
include!("../../fields.rs");

structures! {
    Level { px_1e9 sz_1e8 }
    L2Book { bids asks bid_ct ask_ct symbol_id _pad recv_ns }
    OpenOrder { order_id px_1e9 qty_1e8 filled_1e8 side status _pad }
    SymbolMeta { tick_size_1e9 lot_size_1e8 min_qty_1e8 min_notional_1e9 price_precision qty_precision _pad }
    RiskSnapshot { max_position_1e8 max_daily_loss_1e9 max_order_notional_1e9 max_order_rate reduce_only _pad }
    AlgoState {
        position_1e8 avg_entry_1e9 realized_pnl_1e9 unrealized_pnl_1e9 orders order_ct _pad
        session_pnl_1e9 total_fill_count symbol risk mesh_id mesh_peer_count _mesh_pad mesh_peers symbol_id _sym_pad
        symbol_name
    }
    Fill { order_id px_1e9 qty_1e8 recv_ns side _pad }
    Reject { order_id code _pad }
    OnlineFeatures {
        version flags _pad0 microprice_1e9 ofi_1level_1e8 ofi_5level_1e8 mlofi_10_1e8 ofi_ewma_1e6
        trade_sign_imbalance_1e6 trade_arrival_rate_1e3 vpin_1e4 _pad1 spread_regime _pad2a spread_zscore_1e3
        cancel_rate_1e4 depth_imbalance_1e4 rv_1m_bps rv_5m_bps rv_1h_bps _pad3 pred_dir_up_1e4 pred_dir_flat_1e4
        pred_dir_down_1e4 pred_stress_normal_1e4 pred_stress_widening_1e4 pred_stress_crisis_1e4 pred_toxic_1e4
        prediction_age_ms fill_prob_bid_1e4 fill_prob_ask_1e4 queue_decay_rate_1e4 _fill_pad feature_ts_ns _reserved
    }
    VenueBooks { merged book_ct symbol_id _pad venue_ids venue_region_ids books }
    NbboSnapshot {
        nbbo_bid_px_1e9 nbbo_ask_px_1e9 nbbo_bid_sz_1e8 nbbo_ask_sz_1e8 nbbo_bid_venue nbbo_ask_venue venue_ct symbol_id
        sequence venue_ids venue_bid_px venue_ask_px venue_bid_sz venue_ask_sz venue_update_ms recv_ns venue_region_ids
    }
    ConfigRegion { version param_count update_seq _pad update_ns params types }
    MeshPeerEntry { label mesh_id }
    MeshTable { self_label self_mesh_id peer_count _pad peers }
}

struct Fields;

impl Algo for Fields {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, features: &OnlineFeatures, actions: &mut Actions) {
        show("book", book);
        show("state", state);
        show("features", features);
        show("config", unsafe { ConfigRegion::read() });
        show("mesh", unsafe { &*(MESH_TABLE_WASM_OFFSET as *const MeshTable) });
        actions.buy(1, 2, 3);
        actions.sell(4, 5, 6);
        actions.market_buy(7, 8);
        actions.market_sell(9, 10);
        actions.ioc_buy(11, 12, 13);
        actions.fok_sell(20, 21, 22);
        actions.post_only_buy(23, 24, 25);
        actions.cancel(29);
        actions.amend(30, 31, 32);
        actions.intent(33, 2, -1, 34, 35, IntentPolicy::AGGRESSIVE_CHASE, 0x1234);
        actions.buy_symbol(3, 36, 37, 38);
        actions.sell_symbol(4, 39, 40, 41);
    }

    fn on_nbbo(
        &mut self,
        nbbo: &NbboSnapshot,
        books: &VenueBooks,
        state: &AlgoState,
        features: &OnlineFeatures,
        actions: &mut Actions,
    ) {
        show("state", state);
        show("features", features);
        show("books", books);
        show("nbbo", nbbo);
        actions.cancel(32);
    }

    fn on_message(&mut self, from: &str, payload: &[u8], state: &AlgoState, actions: &mut Actions) {
        log_info!("message {} {:?}", from, payload);
        show("state", state);
        messaging::send("hedger", &payload[1..]);
        messaging::send("nobody", payload);
        actions.cancel(33);
    }

    fn on_heartbeat(&mut self, state: &AlgoState, features: &OnlineFeatures, actions: &mut Actions) {
        show("state", state);
        show("features", features);
        actions.cancel(31);
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
