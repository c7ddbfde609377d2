"""Capacity: which machines, how many, at what cost, and whether the latency goals hold."""
