"""The trial run: models run in child processes, and what they did is evidence."""
