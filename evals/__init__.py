"""How a bundle is judged: market data, WASM host, simulator, metrics."""
