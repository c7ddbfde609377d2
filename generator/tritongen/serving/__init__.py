"""Running servers: embedded, in Docker, or attached; atomic repository writes."""
