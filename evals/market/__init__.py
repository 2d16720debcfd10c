"""Market data as tapes: schema, importers, validation, synthetic market."""
