"""Market data as tapes: one event stream per symbol in parquet, importers, validation, a synthetic market."""
