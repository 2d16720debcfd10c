"""Edge or SOR: the rule that assigns a parent order, the estimates that it rests on, and what came of it."""
