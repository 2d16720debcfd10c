//! A multi-venue algo of SDK 0.3: logs what it sees of every venue, and sends one order to each of four places.
#![no_std]
use algo_sdk::*;

include!("../../old_entry.rs");

struct Router {
    nbbos: u64,
}

impl MultiVenueAlgo for Router {
    fn on_nbbo(&mut self, nbbo: &NbboSnapshot, books: &VenueBooks, state: &AlgoState, actions: &mut Actions) {
        self.nbbos += 1;
        log_info!("nbbo {} {}x{}@{} {}x{}@{} {}", nbbo.sequence, nbbo.nbbo_bid_px_1e9, nbbo.nbbo_bid_sz_1e8,
            nbbo.best_bid_venue_id(), nbbo.nbbo_ask_px_1e9, nbbo.nbbo_ask_sz_1e8, nbbo.best_ask_venue_id(), nbbo.recv_ns);
        for slot in 0..nbbo.venue_ct as usize {
            log_info!("venue {} {} {} {} {} {} {}", nbbo.venue_ids[slot], nbbo.venue_bid_px[slot], nbbo.venue_bid_sz[slot],
                nbbo.venue_ask_px[slot], nbbo.venue_ask_sz[slot], nbbo.venue_update_ms[slot], nbbo.is_venue_stale(slot, 1_000));
        }
        for slot in 0..books.book_ct as usize {
            let book = books.book_at_slot(slot);
            log_info!("book {} {} {} {} {}", books.venue_id_at(slot), book.bid_ct, book.ask_ct, book.bids[0].px_1e9,
                book.recv_ns);
        }
        log_info!("merged {} {} {} {}", books.merged.bid_ct, books.merged.ask_ct, books.merged.bids[0].sz_1e8,
            books.merged.recv_ns);
        log_info!("state {} {}", state.position_1e8, state.order_ct);
        if self.nbbos == 3 {
            let venue = nbbo.best_ask_venue_id();
            actions.ioc_buy_on(venue, 1, 100_000_000, nbbo.nbbo_ask_px_1e9);
            actions.ioc_buy(2, 100_000_000, 9_000_000_000_000);
            actions.ioc_buy_on(VENUE_BYBIT, 3, 100_000_000, nbbo.nbbo_ask_px_1e9);
            actions.buy_on(venue, 4, 100_000_000, 1_000_000_000);
        }
        if self.nbbos == 4 {
            actions.amend_on(nbbo.best_ask_venue_id(), 4, 200_000_000, 2_000_000_000);
        }
    }

    fn on_fill(&mut self, fill: &Fill, state: &AlgoState) {
        log_info!("fill {} {} {}", fill.order_id, fill.px_1e9, state.position_1e8);
    }

    fn on_reject(&mut self, reject: &Reject) {
        log_info!("reject {} {}", reject.order_id, reject.reason());
    }

    fn on_shutdown(&mut self, state: &AlgoState, _: &mut Actions) {
        log_info!("shutdown {} {}", state.position_1e8, state.order_ct);
    }
}

export_multi_venue_algo!(Router { nbbos: 0 });
