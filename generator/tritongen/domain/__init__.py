"""The pure core: data and decisions, without I/O, clock, chance or third-party formats."""
