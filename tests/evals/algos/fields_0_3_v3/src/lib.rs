//! Logs every field that an algo of SDK 0.3 is handed in its form with features, and returns one action of every kind.
#![no_std]
use algo_sdk::*;

include!("../../old_entry.rs");
include!("../../fields.rs");
include!("../../fields_0_3.rs");

structures! {
    OnlineFeatures {
        version flags _pad0 microprice_1e9 ofi_1level_1e8 ofi_5level_1e8 mlofi_10_1e8 ofi_ewma_1e6
        trade_sign_imbalance_1e6 trade_arrival_rate_1e3 vpin_1e4 _pad1 spread_regime _pad2a spread_zscore_1e3
        cancel_rate_1e4 depth_imbalance_1e4 rv_1m_bps rv_5m_bps rv_1h_bps _pad3 pred_dir_up_1e4 pred_dir_flat_1e4
        pred_dir_down_1e4 pred_stress_normal_1e4 pred_stress_widening_1e4 pred_stress_crisis_1e4 pred_toxic_1e4
        prediction_age_ms fill_prob_bid_1e4 fill_prob_ask_1e4 queue_decay_rate_1e4 _fill_pad feature_ts_ns _reserved
    }
}

struct Fields;

impl AlgoV3 for Fields {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, features: &OnlineFeatures, actions: &mut Actions) {
        show("book", book);
        show("state", state);
        show("features", features);
        act(actions);
    }

    fn on_heartbeat(&mut self, state: &AlgoState, features: &OnlineFeatures, actions: &mut Actions) {
        show("state", state);
        show("features", features);
        actions.cancel(31);
    }

    answers!();
}

export_algo_v3!(Fields);
