"""Machine types: what they have, what they cost, and how fast they are against each other."""
