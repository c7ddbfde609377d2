"""Running servers: embedded, in Docker, or attached; up, down, status, logs, doctor, verify."""
