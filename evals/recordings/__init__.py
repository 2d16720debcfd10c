"""What a deployment leaves behind: its actions, fills and events, recorded row by row, and how far they are complete."""
