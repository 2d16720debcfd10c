"""Where bytes are kept: one protocol, a directory, a bucket."""
