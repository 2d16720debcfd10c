//! Trades two symbols on several venues and logs what it is told about each, so that ids and routing show.
#![no_std]
extern crate alloc;
use algo_sdk::*;

sequence_algo_entry!();

struct Desk {
    books: u64,
    nbbos: u64,
}

fn describe(callback: &str, state: &AlgoState) {
    log_info!("{} state {} {} {} {} {}", callback, state.symbol_id, state.symbol_name(), state.position_1e8, state.order_ct,
        state.symbol.tick_size_1e9);
}

impl Algo for Desk {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, _: &OnlineFeatures, actions: &mut Actions) {
        self.books += 1;
        log_info!("book {} {} {} {}", book.symbol_id, book.bids[0].px_1e9, book.asks[0].px_1e9, book.recv_ns);
        describe("book", state);
        if self.books == 2 {
            // This symbol at home, the first symbol by its number, the second by its number, one that there is not.
            actions.ioc_buy(101, 100_000_000, book.asks[0].px_1e9);
            actions.buy_symbol(1, 102, 100_000_000, 1_000_000_000);
            actions.sell_symbol(2, 103, 100_000_000, 9_000_000_000_000);
            actions.buy_symbol(3, 104, 100_000_000, 1_000_000_000);
        }
    }

    fn on_nbbo(&mut self, nbbo: &NbboSnapshot, books: &VenueBooks, state: &AlgoState, _: &OnlineFeatures, actions: &mut Actions) {
        self.nbbos += 1;
        log_info!("nbbo {} {} {}@{} {}@{} {}", nbbo.symbol_id, nbbo.sequence, nbbo.nbbo_bid_px_1e9, nbbo.best_bid_venue_id(),
            nbbo.nbbo_ask_px_1e9, nbbo.best_ask_venue_id(), books.symbol_id);
        describe("nbbo", state);
        if self.nbbos == 3 {
            actions.intent(201, nbbo.best_ask_venue_id(), 1, 100_000_000, nbbo.nbbo_ask_px_1e9, IntentPolicy::IOC_SWEEP, 0);
            actions.ioc_sell(202, 100_000_000, books.merged.bids[0].px_1e9);
        }
    }

    fn on_fill(&mut self, fill: &Fill, state: &AlgoState) {
        log_info!("fill {} {} {}", fill.order_id, fill.symbol_id(), fill.px_1e9);
        describe("fill", state);
    }

    fn on_reject(&mut self, reject: &Reject) {
        log_info!("reject {} {} {}", reject.order_id, reject.symbol_id(), reject.code);
    }

    fn on_heartbeat(&mut self, state: &AlgoState, _: &OnlineFeatures, _: &mut Actions) {
        describe("heartbeat", state);
    }

    fn on_shutdown(&mut self, state: &AlgoState, _: &mut Actions) {
        describe("shutdown", state);
    }
}

export_algo!(Desk { books: 0, nbbos: 0 });
