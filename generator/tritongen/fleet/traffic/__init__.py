"""Traffic: patterns, recorded histories, and the rates over time that a plan is made for."""
