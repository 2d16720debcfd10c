"""What a deployment leaves behind: actions, fills and events, recorded row by row, and how far they are complete."""
