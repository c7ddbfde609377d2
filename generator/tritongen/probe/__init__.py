"""Load generation and honest measurement."""
