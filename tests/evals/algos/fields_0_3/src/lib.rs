//! Logs every field that an algo of SDK 0.3 is handed in its plain form, and returns one action of every kind.
#![no_std]
use algo_sdk::*;

include!("../../old_entry.rs");
include!("../../fields.rs");
include!("../../fields_0_3.rs");

struct Fields;

impl Algo for Fields {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, actions: &mut Actions) {
        show("book", book);
        show("state", state);
        act(actions);
    }

    answers!();
}

export_algo!(Fields);
