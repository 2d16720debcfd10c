"""How a routing policy executes parent orders: costs, sweeps, slices, curves of volume, faults."""
