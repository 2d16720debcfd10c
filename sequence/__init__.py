"""What people type and import: the command, the schemas, the templates."""
