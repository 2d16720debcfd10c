"""What can be promoted, where it is kept, and what may happen to it."""
