"""The kernels of an execution; each is small and is checked against a slow twin in the tests."""
