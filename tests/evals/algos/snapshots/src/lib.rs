//! Logs the online features as hex, at every n-th book; n is the configured quote size. Heartbeats if two levels are configured.
#![no_std]
extern crate alloc;
use algo_sdk::config::ConfigRegion;
use algo_sdk::*;

sequence_algo_entry!();

struct Snapshots {
    books: i64,
}

/// Writes bytes as hex.
struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{:02x}", byte))
    }
}

fn show(kind: &str, symbol: u16, features: &OnlineFeatures) {
    let at = features as *const OnlineFeatures as *const u8;
    log_info!("{} {} {}", kind, symbol, Hex(unsafe { core::slice::from_raw_parts(at, 120) }));
}

impl Algo for Snapshots {
    fn on_book(&mut self, book: &L2Book, _: &AlgoState, features: &OnlineFeatures, _: &mut Actions) {
        self.books += 1;
        if self.books % unsafe { ConfigRegion::read() }.get_i64(3) == 0 {
            show("b", book.symbol_id, features);
        }
    }

    fn on_nbbo(&mut self, nbbo: &NbboSnapshot, _: &VenueBooks, _: &AlgoState, features: &OnlineFeatures, _: &mut Actions) {
        show("n", nbbo.symbol_id as u16, features);
    }

    fn on_heartbeat(&mut self, state: &AlgoState, features: &OnlineFeatures, _: &mut Actions) {
        if unsafe { ConfigRegion::read() }.get_i64(1) == 2 {
            show("h", state.symbol_id, features);
        }
    }
}

export_algo!(Snapshots { books: 0 });
