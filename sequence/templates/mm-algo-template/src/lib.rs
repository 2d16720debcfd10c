//! A market maker that quotes around the mid and leans against its inventory.
//!
//! On every book update:
//!
//! 1. `num_levels` POST_ONLY quotes per side are wanted, the first at half of `min_spread_bps` from a centre, or at the
//!    touch where the market is wider. The centre is the mid, shifted against the position by up to `max_skew_ratio`
//!    half-spreads at `max_position_1e8`.
//! 2. A resting quote stays while it is within half a half-spread of a wanted price and not older than
//!    `max_order_age_ms`; otherwise it is cancelled. Quotes that need no change cost no order traffic.
//! 3. Missing quotes are placed as far as position limits (counting everything that may still fill) and the order rate
//!    allow.
//!
//! Updates that change none of what a decision rests on end after a few comparisons.
//!
//! An empty or crossed book, or a config region that nobody filled, means: do nothing. A reject silences new quotes for
//! one second. All arithmetic is on integers, and what could overflow is checked.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
extern crate alloc;

use algo_sdk::*;

#[cfg(target_arch = "wasm32")]
sequence_algo_entry!();

#[cfg(target_arch = "wasm32")]
export_algo!(MarketMaker::new());

const MAX_LEVELS: usize = 5;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;
const PAUSE_AFTER_REJECT_NS: u64 = NS_PER_S;
/// An order id is its placement time in milliseconds and a counter: it carries its own age, and restarts never reuse one.
const COUNTER_BITS: u32 = 16;

/// `MmConfig` as it lies in slots 0 to 6 of the config region.
#[derive(Clone, Copy)]
struct Config {
    levels: usize,
    min_spread_bps: u64,
    quote_size_1e8: i64,
    max_position_1e8: i64,
    max_order_age_ms: u64,
    max_skew_1e4: i64,
}

impl Config {
    /// None where the region does not hold a valid `MmConfig`.
    #[inline(always)]
    fn read(region: &ConfigRegion) -> Option<Self> {
        let [levels, spread, size, position, age, skew] = [
            region.params[1],
            region.params[2],
            region.params[3],
            region.params[4],
            region.params[5],
            region.params[6],
        ];
        if levels < 1 || levels > MAX_LEVELS as i64 || spread < 1 || size < 1 || position < 1 || age < 0 {
            return None;
        }
        if skew < 0 || skew > 10_000 {
            return None;
        }
        Some(Self {
            levels: levels as usize,
            min_spread_bps: spread as u64,
            quote_size_1e8: size,
            max_position_1e8: position,
            max_order_age_ms: age as u64,
            max_skew_1e4: skew,
        })
    }
}

/// `value * numerator / denominator` without overflow; loses low digits only where the product would not fit.
#[inline(always)]
fn scaled(value: i64, numerator: i64, denominator: i64) -> i64 {
    match value.checked_mul(numerator) {
        Some(product) => product / denominator,
        None => (value / denominator).saturating_mul(numerator),
    }
}

/// Prices wanted on both sides, best first, and how far a resting quote may be from one of them.
struct Wanted {
    px_1e9: [[u64; MAX_LEVELS]; 2],
    tolerance_1e9: u64,
}

impl Wanted {
    /// None where prices leave the range of the arithmetic.
    #[inline(always)]
    fn around(bid_1e9: u64, ask_1e9: u64, tick_1e9: u64, position_1e8: i64, config: &Config) -> Option<Self> {
        if ask_1e9 > i64::MAX as u64 / 4 {
            return None;
        }
        let mid = bid_1e9 / 2 + ask_1e9 / 2 + (bid_1e9 & ask_1e9 & 1);
        let least_half = scaled(mid as i64, config.min_spread_bps as i64, 20_000) as u64;
        let half = least_half.max((ask_1e9 - bid_1e9) / 2).max(1);
        if half >= mid {
            return None;
        }
        let held = position_1e8.clamp(-config.max_position_1e8, config.max_position_1e8);
        let lean_1e4 = scaled(scaled(held, 10_000, config.max_position_1e8), config.max_skew_1e4, 10_000);
        let shift = scaled(half as i64, lean_1e4, 10_000);
        let first_bid = mid as i64 - shift - half as i64;
        let first_ask = mid as i64 - shift + half as i64;
        let step = half.max(tick_1e9);

        let mut px_1e9 = [[0; MAX_LEVELS]; 2];
        for level in 0..config.levels {
            let depth = step.checked_mul(level as u64)?;
            // A price that would fall below one tick stays 0: no quote there.
            let below = (first_bid.max(0) as u64).saturating_sub(depth);
            let above = (first_ask.max(0) as u64).checked_add(depth)?.checked_add(tick_1e9 - 1)?;
            px_1e9[BIDS][level] = (below / tick_1e9 * tick_1e9).min(ask_1e9.saturating_sub(tick_1e9));
            px_1e9[ASKS][level] = (above / tick_1e9 * tick_1e9).max(bid_1e9.checked_add(tick_1e9)?);
        }
        Some(Self { px_1e9, tolerance_1e9: (half / 2).max(tick_1e9) })
    }
}

const BIDS: usize = 0;
const ASKS: usize = 1;

/// Everything that a decision rests on, but the time. While it stays the same, so does the decision.
#[derive(Clone, Copy, PartialEq)]
struct Seen {
    bid_1e9: u64,
    ask_1e9: u64,
    position_1e8: i64,
    fills: u64,
    orders: u8,
    reduce_only: u8,
    config_seq: u16,
}

/// The market maker's own memory; position and orders belong to the host.
pub struct MarketMaker {
    counter: u64,
    now_ns: u64,
    quiet_until_ns: u64,
    /// Placements are paid for at half of the permitted order rate; this is when the last one will be.
    paid_at_ns: u64,
    /// Cancels on their way: an order stays in the host's list until the venue has answered.
    cancelling: [u64; MAX_ORDERS],
    cancelling_ct: usize,
    /// What was seen when last nothing was left to do, and until when that holds: most updates end here.
    settled: Option<Seen>,
    settled_until_ms: u64,
    /// Native builds have no config region; tests fill this one.
    #[cfg(not(target_arch = "wasm32"))]
    pub region: ConfigRegion,
}

impl Default for MarketMaker {
    fn default() -> Self {
        Self::new()
    }
}

impl MarketMaker {
    pub fn new() -> Self {
        Self {
            counter: 0,
            now_ns: 0,
            quiet_until_ns: 0,
            paid_at_ns: 0,
            cancelling: [0; MAX_ORDERS],
            cancelling_ct: 0,
            settled: None,
            settled_until_ms: 0,
            #[cfg(not(target_arch = "wasm32"))]
            region: ConfigRegion::default(),
        }
    }

    #[cfg(target_arch = "wasm32")]
    #[inline(always)]
    fn region(&self) -> &ConfigRegion {
        // The host owns this region and writes it only between callbacks.
        unsafe { ConfigRegion::read() }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn region(&self) -> &ConfigRegion {
        &self.region
    }

    #[inline(always)]
    fn is_cancelling(&self, order_id: u64) -> bool {
        self.cancelling[..self.cancelling_ct].contains(&order_id)
    }

    /// Forget the cancels whose orders are gone.
    #[inline(always)]
    fn settle_cancels(&mut self, orders: &[OpenOrder]) {
        let mut kept = 0;
        for at in 0..self.cancelling_ct {
            let order_id = self.cancelling[at];
            if orders.iter().any(|order| order.order_id == order_id) {
                self.cancelling[kept] = order_id;
                kept += 1;
            }
        }
        self.cancelling_ct = kept;
    }

    #[inline(always)]
    fn cancel(&mut self, order_id: u64, actions: &mut Actions) {
        if self.cancelling_ct < MAX_ORDERS && actions.cancel(order_id) {
            self.cancelling[self.cancelling_ct] = order_id;
            self.cancelling_ct += 1;
        }
    }

    #[inline(always)]
    fn next_id(&mut self) -> u64 {
        self.counter += 1;
        (self.now_ns / NS_PER_MS) << COUNTER_BITS | (self.counter & ((1 << COUNTER_BITS) - 1))
    }

    #[inline(always)]
    fn age_ms(&self, order_id: u64) -> u64 {
        (self.now_ns / NS_PER_MS).saturating_sub(order_id >> COUNTER_BITS)
    }

    /// Cancel what no longer fits. Returns which wanted levels are covered, and the size that may still fill, per side.
    #[inline(always)]
    fn review(
        &mut self,
        orders: &[OpenOrder],
        wanted: &Wanted,
        config: &Config,
        actions: &mut Actions,
    ) -> ([u32; 2], [i64; 2]) {
        let mut covered = [0u32; 2];
        let mut resting_1e8 = [0i64; 2];
        for order in orders {
            if order.status == Status::DEAD {
                continue;
            }
            let side = if order.side > 0 { BIDS } else { ASKS };
            resting_1e8[side] = resting_1e8[side].saturating_add(order.remaining_1e8());
            if self.is_cancelling(order.order_id) {
                continue;
            }
            let fresh = self.age_ms(order.order_id) <= config.max_order_age_ms;
            let fits = wanted.px_1e9[side][..config.levels].iter().enumerate().find(|(level, px)| {
                covered[side] >> level & 1 == 0 && order.px_1e9.abs_diff(**px) <= wanted.tolerance_1e9
            });
            match fits {
                Some((level, _)) if fresh || order.is_pending() => covered[side] |= 1 << level,
                _ if order.is_live() => self.cancel(order.order_id, actions),
                _ => {}
            }
        }
        (covered, resting_1e8)
    }

    /// Tell whether another order keeps within the order rate, and count it: never more than the limit in any second.
    #[inline(always)]
    fn may_place(&mut self, max_order_rate: u32) -> bool {
        if max_order_rate == 0 {
            return true;
        }
        let price_ns = 2 * NS_PER_S / u64::from(max_order_rate);
        if self.paid_at_ns.saturating_sub(self.now_ns) > NS_PER_S.saturating_sub(price_ns) {
            return false;
        }
        self.paid_at_ns = self.paid_at_ns.max(self.now_ns).saturating_add(price_ns);
        true
    }

    /// Largest size that a new order of this side may have.
    #[inline(always)]
    fn size_1e8(&self, side: usize, px_1e9: u64, resting_1e8: i64, state: &AlgoState, config: &Config) -> i64 {
        let limit = match state.risk.max_position_1e8 {
            0 => config.max_position_1e8,
            limit => limit.min(config.max_position_1e8),
        };
        let towards = if side == BIDS { state.position_1e8 } else { state.position_1e8.saturating_neg() };
        let mut room = limit.saturating_sub(towards).saturating_sub(resting_1e8);
        if state.risk.reduce_only != 0 {
            room = room.min(towards.saturating_neg().saturating_sub(resting_1e8));
        }
        let mut size = config.quote_size_1e8.min(room);
        if state.risk.max_order_notional_1e9 > 0 {
            let most = state.risk.max_order_notional_1e9 as u128 * 100_000_000 / px_1e9.max(1) as u128;
            size = size.min(most.min(i64::MAX as u128) as i64);
        }
        if size <= 0 {
            return 0;
        }
        let size = state.symbol.round_qty(size);
        if size <= 0 || !state.symbol.check_min_qty(size) || !state.symbol.check_notional(size, px_1e9) {
            return 0;
        }
        size
    }
}

impl Algo for MarketMaker {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, _features: &OnlineFeatures, actions: &mut Actions) {
        self.now_ns = book.recv_ns;
        let (bid, ask) = match (book.best_bid(), book.best_ask()) {
            (Some(bid), Some(ask)) if bid.px_1e9 < ask.px_1e9 => (bid, ask),
            _ => return,
        };
        let seen = Seen {
            bid_1e9: bid.px_1e9,
            ask_1e9: ask.px_1e9,
            position_1e8: state.position_1e8,
            fills: state.total_fill_count,
            orders: state.order_ct,
            reduce_only: state.risk.reduce_only,
            config_seq: self.region().update_seq,
        };
        if self.settled == Some(seen) && self.now_ns / NS_PER_MS <= self.settled_until_ms {
            return;
        }
        self.settled = None;
        let config = match Config::read(self.region()) {
            Some(config) => config,
            None => return,
        };
        let tick_1e9 = state.symbol.tick_size_1e9.max(1);
        let wanted = match Wanted::around(bid.px_1e9, ask.px_1e9, tick_1e9, state.position_1e8, &config) {
            Some(wanted) => wanted,
            None => return,
        };
        let orders = &state.orders[..(state.order_ct as usize).min(MAX_ORDERS)];
        self.settle_cancels(orders);
        let (covered, mut resting_1e8) = self.review(orders, &wanted, &config, actions);
        if self.now_ns < self.quiet_until_ns {
            return;
        }
        let mut slots = MAX_ORDERS - orders.len();
        let mut waiting = false;
        for level in 0..config.levels {
            for side in [BIDS, ASKS] {
                let px_1e9 = wanted.px_1e9[side][level];
                if covered[side] >> level & 1 == 1 || px_1e9 == 0 || slots == 0 || actions.is_full() {
                    continue;
                }
                let size_1e8 = self.size_1e8(side, px_1e9, resting_1e8[side], state, &config);
                if size_1e8 == 0 {
                    continue;
                }
                if !self.may_place(state.risk.max_order_rate) {
                    waiting = true;
                    continue;
                }
                let order_id = self.next_id();
                if side == BIDS {
                    actions.post_only_buy(order_id, size_1e8, px_1e9);
                } else {
                    actions.post_only_sell(order_id, size_1e8, px_1e9);
                }
                resting_1e8[side] = resting_1e8[side].saturating_add(size_1e8);
                slots -= 1;
            }
        }
        if actions.is_empty() && !waiting && self.cancelling_ct == 0 && orders.iter().all(OpenOrder::is_live) {
            let oldest_ms = orders.iter().map(|order| order.order_id >> COUNTER_BITS).min();
            self.settled_until_ms = oldest_ms.map_or(u64::MAX, |ms| ms.saturating_add(config.max_order_age_ms));
            self.settled = Some(seen);
        }
    }

    fn on_reject(&mut self, reject: &Reject) {
        if let Some(at) = self.cancelling[..self.cancelling_ct].iter().position(|id| *id == reject.order_id) {
            // The cancel failed; if the order is still there, the next book asks again.
            self.cancelling_ct -= 1;
            self.cancelling[at] = self.cancelling[self.cancelling_ct];
            return;
        }
        self.quiet_until_ns = self.now_ns.saturating_add(PAUSE_AFTER_REJECT_NS);
    }

    fn on_shutdown(&mut self, state: &AlgoState, actions: &mut Actions) {
        actions.cancel_all(state);
    }
}
