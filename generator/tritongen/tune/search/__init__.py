"""Pure: what to measure next, by what was measured; no file, clock or random source."""
