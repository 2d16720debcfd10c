// What SDK 0.1 leaves to the algo: an allocator and a panic handler.

struct Bump;
static mut NEXT: usize = 0;
static mut HEAP: [u64; 8192] = [0; 8192];

unsafe impl core::alloc::GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: core::alloc::Layout) -> *mut u8 {
        let at = NEXT;
        NEXT += (layout.size() + 7) / 8;
        if NEXT > 8192 {
            return core::ptr::null_mut();
        }
        (core::ptr::addr_of_mut!(HEAP) as *mut u64).add(at) as *mut u8
    }
    unsafe fn dealloc(&self, _: *mut u8, _: core::alloc::Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
