"""What people read of an evaluation: an HTML page that works offline, the same figures as Markdown, two compared."""
