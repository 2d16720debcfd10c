"""What happens in which order: build, compile, evaluate, promote, nightly."""
