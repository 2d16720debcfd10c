//! The maker of `benchmarks/peer/quote.py` for this project's engine: decision for decision the same.
//!
//! One bid and one ask, a fixed number of ticks off the best prices. When the wanted price differs from the working
//! one the order is cancelled, and a new one sent once the old is known to be gone. No order is sent that could take the
//! position beyond its limit. Of the configuration it reads `min_spread_bps` (as that number of ticks),
//! `quote_size_1e8` and `max_position_1e8`.
#![no_std]
extern crate alloc;
use algo_sdk::config::ConfigRegion;
use algo_sdk::*;

sequence_algo_entry!();

const NOT_WANTED: u64 = 0;

#[derive(Clone, Copy)]
struct Quote {
    /// 0: no order.
    id: u64,
    px_1e9: u64,
    acknowledged: bool,
    cancelling: bool,
}

const NO_QUOTE: Quote = Quote { id: 0, px_1e9: 0, acknowledged: false, cancelling: false };

struct Quoter {
    next_id: u64,
    /// Bid, ask.
    quotes: [Quote; 2],
}

impl Algo for Quoter {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, _features: &OnlineFeatures, actions: &mut Actions) {
        for quote in &mut self.quotes {
            if quote.id != 0 {
                match state.find_order(quote.id) {
                    Some(order) => quote.acknowledged = !order.is_pending(),
                    None => *quote = NO_QUOTE,
                }
            }
        }
        let config = unsafe { ConfigRegion::read() };
        let offset = config.get_i64(2) as u64 * state.symbol.tick_size_1e9;
        let qty = config.get_i64(3);
        let limit = config.get_i64(4);
        let mut wanted = [NOT_WANTED; 2];
        if book.bid_ct > 0 && book.ask_ct > 0 {
            if state.position_1e8 + qty <= limit {
                wanted[0] = book.bids[0].px_1e9.saturating_sub(offset);
            }
            if state.position_1e8 - qty >= -limit {
                wanted[1] = book.asks[0].px_1e9 + offset;
            }
        }
        for (side, quote) in self.quotes.iter_mut().enumerate() {
            let px = wanted[side];
            if quote.id != 0 {
                if quote.acknowledged && !quote.cancelling && quote.px_1e9 != px {
                    actions.cancel(quote.id);
                    quote.cancelling = true;
                }
            } else if px != NOT_WANTED {
                *quote = Quote { id: self.next_id, px_1e9: px, ..NO_QUOTE };
                self.next_id += 1;
                if side == 0 {
                    actions.post_only_buy(quote.id, qty, px);
                } else {
                    actions.post_only_sell(quote.id, qty, px);
                }
            }
        }
    }
}

export_algo!(Quoter { next_id: 1, quotes: [NO_QUOTE; 2] });
