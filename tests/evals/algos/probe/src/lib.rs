//! Logs what the SDK reads out of every structure that the host writes; places one order so that fills and orders show.
#![no_std]
extern crate alloc;
use algo_sdk::config::ConfigRegion;
use algo_sdk::*;

sequence_algo_entry!();

struct Probe {
    books: u64,
}

impl Algo for Probe {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, features: &OnlineFeatures, actions: &mut Actions) {
        self.books += 1;
        if self.books == 1 {
            log_info!("sizes {} {} {} {}", core::mem::size_of::<L2Book>(), core::mem::size_of::<AlgoState>(),
                core::mem::size_of::<WasmActions>(), core::mem::size_of::<ConfigRegion>());
        }
        if self.books <= 4 {
            log_info!("book {} {} {} {} {} {} {}", book.bid_ct, book.ask_ct, book.bids[0].px_1e9, book.bids[0].sz_1e8,
                book.asks[0].px_1e9, book.asks[0].sz_1e8, book.recv_ns);
            log_info!("last {} {} {}", book.bids[19].px_1e9, book.asks[19].sz_1e8, book.symbol_id);
            log_info!("state {} {} {} {} {} {} {}", state.position_1e8, state.avg_entry_1e9, state.realized_pnl_1e9,
                state.unrealized_pnl_1e9, state.order_ct, state.session_pnl_1e9, state.total_fill_count);
            log_info!("symbol {} {} {} {} {} {} {} {}", state.symbol.tick_size_1e9, state.symbol.lot_size_1e8,
                state.symbol.min_qty_1e8, state.symbol.min_notional_1e9, state.symbol.price_precision,
                state.symbol.qty_precision, state.symbol_id, state.symbol_name());
            log_info!("risk {} {} {} {} {} {} {}", state.risk.max_position_1e8, state.risk.max_daily_loss_1e9,
                state.risk.max_order_notional_1e9, state.risk.max_order_rate, state.risk.reduce_only, state.mesh_id,
                state.mesh_peer_count);
            log_info!("features {} {} {} {} {}", features.version, features.flags, features.microprice_1e9,
                features.depth_imbalance_1e4, features.feature_ts_ns);
            let config = unsafe { ConfigRegion::read() };
            log_info!("config {} {} {} {} {} {} {} {} {} {}", config.version, config.param_count, config.update_seq,
                config.get_i64(0), config.get_i64(1), config.get_i64(2), config.get_i64(3), config.get_i64(4),
                config.get_i64(5), config.get_i64(6));
            for i in 0..state.order_ct as usize {
                let o = &state.orders[i];
                log_info!("order {} {} {} {} {} {}", o.order_id, o.px_1e9, o.qty_1e8, o.filled_1e8, o.side, o.status);
            }
        }
        if self.books == 1 {
            actions.sell(7, 200_000_000, book.bids[0].px_1e9);
            actions.buy(8, 0, 1);
        }
    }

    fn on_fill(&mut self, fill: &Fill, state: &AlgoState) {
        log_warn!("fill {} {} {} {} {} {} {} {}", fill.order_id, fill.px_1e9, fill.qty_1e8, fill.recv_ns, fill.side,
            fill.symbol_id(), state.position_1e8, state.find_order(fill.order_id).is_some());
    }

    fn on_reject(&mut self, reject: &Reject) {
        log_error!("reject {} {}", reject.order_id, reject.code);
    }

    fn on_heartbeat(&mut self, state: &AlgoState, _features: &OnlineFeatures, _actions: &mut Actions) {
        log_info!("heartbeat {}", state.order_ct);
    }

    fn on_shutdown(&mut self, state: &AlgoState, actions: &mut Actions) {
        log_info!("shutdown {}", state.order_ct);
        actions.cancel_all(state);
    }
}

export_algo!(Probe { books: 0 });
