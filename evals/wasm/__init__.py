"""The sandbox: module checks, the SDK's binary interface, the host."""
