"""Parent orders: what a client or a desk wants done, before it is cut and routed."""
