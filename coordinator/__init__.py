"""The REST service and the edge runtime that run deployed bundles."""
