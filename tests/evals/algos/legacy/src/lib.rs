//! A 0.1 algo: logs its first book and buys one lot at the ask.
#![no_std]
extern crate alloc;
use algo_sdk::*;
use core::alloc::{GlobalAlloc, Layout};

struct Bump;
static mut NEXT: usize = 0;
static mut HEAP: [u64; 2048] = [0; 2048];

unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let at = NEXT;
        NEXT += (layout.size() + 7) / 8;
        if NEXT > 2048 {
            return core::ptr::null_mut();
        }
        (core::ptr::addr_of_mut!(HEAP) as *mut u64).add(at) as *mut u8
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

struct Legacy {
    books: u64,
}

impl Algo for Legacy {
    fn on_book(&mut self, book: &L2Book, state: &AlgoState, actions: &mut Actions) {
        self.books += 1;
        if self.books == 1 {
            log_info!("first {} {} {}", book.bids[0].px_1e9, core::mem::size_of::<AlgoState>(), state.order_ct);
            actions.ioc_buy(5_000, 100_000_000, book.asks[0].px_1e9);
        }
    }

    fn on_fill(&mut self, fill: &Fill, state: &AlgoState) {
        log_info!("filled {} {}", fill.order_id, state.position_1e8);
    }

    fn on_reject(&mut self, _reject: &Reject) {}

    fn on_shutdown(&mut self, _state: &AlgoState, _actions: &mut Actions) {
        log_info!("done {}", self.books);
    }
}

export_algo!(Legacy { books: 0 });
