"""The use case "probe": load, measured."""
