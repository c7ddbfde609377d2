"""The use cases around a running server: up, down, status, logs, restart."""
