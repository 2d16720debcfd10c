//! Logs every field that an algo of SDK 0.3 is handed in its multi-venue form, and returns one action of every kind.
#![no_std]
use algo_sdk::*;

include!("../../old_entry.rs");
include!("../../fields.rs");
include!("../../fields_0_3.rs");

structures! {
    VenueBooks { merged book_ct _pad venue_ids books }
    NbboSnapshot {
        nbbo_bid_px_1e9 nbbo_ask_px_1e9 nbbo_bid_sz_1e8 nbbo_ask_sz_1e8 nbbo_bid_venue nbbo_ask_venue venue_ct _pad0
        sequence venue_ids venue_bid_px venue_ask_px venue_bid_sz venue_ask_sz venue_update_ms recv_ns
    }
}

struct Fields;

impl MultiVenueAlgo for Fields {
    fn on_nbbo(&mut self, nbbo: &NbboSnapshot, books: &VenueBooks, state: &AlgoState, actions: &mut Actions) {
        show("state", state);
        show("books", books);
        show("nbbo", nbbo);
        act(actions);
    }

    answers!();
}

export_multi_venue_algo!(Fields);
