"""What a live server's counters say, held against the intent and the plan."""
