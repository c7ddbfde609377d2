"""The best configuration for the user's goal, searched for on a real server."""
