"""The Numba kernels: books, queue, latency, matching, fees, risk, accounting."""
