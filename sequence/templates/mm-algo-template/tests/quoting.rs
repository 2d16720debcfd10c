//! Native tests on the SDK's harness: `cargo test`.

use algo_sdk::testing::{make_book, make_reject, ActionSnapshot, AlgoHarness};
use algo_sdk::{ConfigRegion, L2Book, OpenOrder, OrderType, RejectCode, Status};
use mm_algo_template::MarketMaker;

const SECOND_NS: u64 = 1_000_000_000;
const START_NS: u64 = 1_700_000_000 * SECOND_NS;
const CENT_1E9: u64 = 10_000_000;

/// version, num_levels, min_spread_bps, quote_size_1e8, max_position_1e8, max_order_age_ms, max_skew_ratio * 10^4
fn harness(params: [i64; 7]) -> AlgoHarness<MarketMaker> {
    let mut algo = MarketMaker::new();
    let mut region = ConfigRegion { param_count: 7, ..ConfigRegion::default() };
    region.params[..7].copy_from_slice(&params);
    algo.region = region;
    let mut harness = AlgoHarness::new(algo);
    harness.state.symbol.tick_size_1e9 = CENT_1E9;
    harness.state.symbol.lot_size_1e8 = 1_000;
    harness
}

fn one_level() -> AlgoHarness<MarketMaker> {
    harness([1, 1, 20, 100_500, 1_000_000, 5_000, 5_000])
}

fn book(bid_cents: u64, ask_cents: u64, at_ns: u64) -> L2Book {
    let mut book = make_book(bid_cents * CENT_1E9, 100_000_000, ask_cents * CENT_1E9, 100_000_000);
    book.recv_ns = at_ns;
    book
}

/// Let the venue accept every order and carry out every cancel of one callback.
fn acknowledge(harness: &mut AlgoHarness<MarketMaker>, actions: &ActionSnapshot) {
    for action in actions.iter() {
        let count = harness.state.order_ct as usize;
        if action.is_cancel == 1 {
            let at = harness.state.orders[..count].iter().position(|o| o.order_id == action.order_id).unwrap();
            harness.state.orders[at] = harness.state.orders[count - 1];
            harness.state.order_ct -= 1;
        } else {
            harness.state.orders[count] = OpenOrder {
                order_id: action.order_id,
                px_1e9: action.px_1e9,
                qty_1e8: action.qty_1e8 * i64::from(action.side),
                side: action.side,
                status: Status::ACKED,
                ..OpenOrder::EMPTY
            };
            harness.state.order_ct += 1;
        }
    }
}

fn prices(actions: &ActionSnapshot, side: i8) -> Vec<u64> {
    actions.iter().filter(|a| a.is_cancel == 0 && a.side == side).map(|a| a.px_1e9 / CENT_1E9).collect()
}

#[test]
fn quotes_both_sides_around_the_mid_on_tick_and_lot() {
    let mut mm = one_level();
    mm.set_book(book(99_999, 100_002, START_NS));
    let actions = mm.tick();
    // mid 1000.005, half of 20 bps = 1.000005: bid rounds down, ask up
    assert_eq!(prices(&actions, 1), [99_900]);
    assert_eq!(prices(&actions, -1), [100_101]);
    assert!(actions.iter().all(|a| a.order_type == OrderType::POST_ONLY && a.qty_1e8 == 100_000));
}

#[test]
fn joins_the_touch_of_a_wide_market_and_never_crosses() {
    let mut mm = one_level();
    mm.set_book(book(99_000, 101_000, START_NS));
    let actions = mm.tick();
    assert_eq!((prices(&actions, 1), prices(&actions, -1)), (vec![99_000], vec![101_000]));
}

#[test]
fn leans_against_the_inventory() {
    let mut mm = one_level();
    mm.set_position(500_000, 1_000_000_000_000);
    mm.set_book(book(99_999, 100_001, START_NS));
    let actions = mm.tick();
    // half a position at a skew of 0.5 shifts both quotes by a quarter of the half-spread (1.00)
    assert_eq!((prices(&actions, 1), prices(&actions, -1)), (vec![99_875], vec![100_075]));
}

#[test]
fn keeps_quotes_that_still_fit_and_moves_those_that_do_not() {
    let mut mm = one_level();
    mm.set_book(book(99_999, 100_001, START_NS));
    let placed = mm.tick();
    acknowledge(&mut mm, &placed);
    mm.set_book(book(100_019, 100_021, START_NS + SECOND_NS));
    mm.tick().assert_empty();
    mm.set_book(book(100_099, 100_101, START_NS + SECOND_NS));
    let moved = mm.tick();
    assert_eq!((moved.cancel_count(), moved.buy_count(), moved.sell_count()), (2, 1, 1));
    // the venue has not answered yet: nothing is asked twice, and the new quotes are pending
    let count = mm.state.order_ct as usize;
    for (at, action) in moved.iter().filter(|a| a.is_cancel == 0).enumerate() {
        mm.state.orders[count + at] = OpenOrder {
            order_id: action.order_id,
            px_1e9: action.px_1e9,
            qty_1e8: action.qty_1e8 * i64::from(action.side),
            side: action.side,
            ..OpenOrder::EMPTY
        };
        mm.state.order_ct += 1;
    }
    mm.tick().assert_empty();
}

#[test]
fn replaces_stale_quotes() {
    let mut mm = one_level();
    mm.set_book(book(99_999, 100_001, START_NS));
    let placed = mm.tick();
    acknowledge(&mut mm, &placed);
    mm.set_book(book(99_999, 100_001, START_NS + 5 * SECOND_NS));
    mm.tick().assert_empty();
    mm.set_book(book(99_999, 100_001, START_NS + 5 * SECOND_NS + 1_000_000));
    assert_eq!(mm.tick().cancel_count(), 2);
}

#[test]
fn counts_everything_that_may_fill_against_the_position() {
    let mut mm = harness([1, 5, 20, 400_000, 1_000_000, 5_000, 0]);
    mm.set_book(book(99_999, 100_001, START_NS));
    let actions = mm.tick();
    let bought: i64 = actions.iter().filter(|a| a.side > 0).map(|a| a.qty_1e8).sum();
    assert_eq!((bought, actions.buy_count()), (1_000_000, 3));
    acknowledge(&mut mm, &actions);
    mm.set_position(1_000_000, 1_000_000_000_000);
    assert_eq!(mm.tick().buy_count(), 0);
}

#[test]
fn reduces_only_when_told_so() {
    let mut mm = one_level();
    mm.state.risk.reduce_only = 1;
    mm.set_position(-50_000, 1_000_000_000_000);
    mm.set_book(book(99_999, 100_001, START_NS));
    let actions = mm.tick();
    assert_eq!((actions.len(), actions.buy_count()), (1, 1));
    assert_eq!(actions.get(0).unwrap().qty_1e8, 50_000);
}

#[test]
fn keeps_within_the_order_rate_in_any_second() {
    for rate in [1u32, 2, 3, 20] {
        let mut mm = one_level();
        mm.state.risk.max_order_rate = rate;
        let mut placed_ns = Vec::new();
        for step in 0..400u64 {
            let at_ns = START_NS + step * SECOND_NS / 100;
            mm.set_book(book(99_999 + 1_000 * (step % 2), 100_001 + 1_000 * (step % 2), at_ns));
            let actions = mm.tick();
            placed_ns.extend(actions.iter().filter(|a| a.is_cancel == 0).map(|_| at_ns));
            acknowledge(&mut mm, &actions);
        }
        let most = placed_ns.iter().map(|from| placed_ns.iter().filter(|at| (*from..*from + SECOND_NS).contains(*at)).count());
        let most = most.max().unwrap();
        assert!(most <= rate as usize && 2 * most >= rate as usize, "{most} orders in a second at rate {rate}");
    }
}

#[test]
fn rests_after_a_reject() {
    let mut mm = one_level();
    mm.set_book(book(99_999, 100_001, START_NS));
    let placed = mm.tick();
    mm.reject(make_reject(placed.get(0).unwrap().order_id, RejectCode::INVALID_PARAMS));
    mm.set_book(book(99_999, 100_001, START_NS + SECOND_NS - 1));
    mm.tick().assert_empty();
    mm.set_book(book(99_999, 100_001, START_NS + SECOND_NS));
    assert_eq!(mm.tick().len(), 2);
}

#[test]
fn does_nothing_without_a_book_or_a_config() {
    let mut mm = one_level();
    mm.tick().assert_empty();
    for crossed in [book(100_001, 100_001, START_NS), book(100_002, 100_001, START_NS), book(0, 100_001, START_NS)] {
        mm.set_book(crossed);
        mm.tick().assert_empty();
    }
    let mut unset = harness([0; 7]);
    unset.set_book(book(99_999, 100_001, START_NS));
    unset.tick().assert_empty();
}

#[test]
fn survives_extreme_prices_and_settings() {
    for params in [
        [1, 5, i64::from(i32::MAX), i64::MAX, i64::MAX, i64::MAX, 10_000],
        [1, 5, 1, 1, 1, 0, 10_000],
        [1, 1, 9_999, i64::MAX, 1, 1, 1],
    ] {
        for (bid, ask) in [(1, 2), (u64::MAX - 1, u64::MAX), (1, u64::MAX), (i64::MAX as u64 / 4 - 1, i64::MAX as u64 / 4)] {
            for position in [i64::MIN, -1, 0, i64::MAX] {
                for tick in [0, 1, CENT_1E9, u64::MAX] {
                    let mut mm = harness(params);
                    mm.state.symbol.tick_size_1e9 = tick;
                    mm.set_position(position, 1);
                    let mut extreme = make_book(bid, 1, ask, 1);
                    extreme.recv_ns = u64::MAX;
                    mm.set_book(extreme);
                    let actions = mm.tick();
                    assert!(actions.len() <= 16);
                    assert!(actions.iter().all(|a| if a.side > 0 { a.px_1e9 < ask } else { a.px_1e9 > bid }));
                }
            }
        }
    }
}

#[test]
fn cancels_everything_on_shutdown() {
    let mut mm = one_level();
    mm.set_book(book(99_999, 100_001, START_NS));
    let placed = mm.tick();
    acknowledge(&mut mm, &placed);
    assert_eq!(mm.shutdown().cancel_count(), 2);
}
