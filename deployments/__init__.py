"""How the flows are deployed: schedules, forms, compose files; data only, no code."""
