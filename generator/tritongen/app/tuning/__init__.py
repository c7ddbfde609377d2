"""The use case "tune": search for the best configuration on a real server."""
