"""The use case "optimize": variants of a model, each proven."""
