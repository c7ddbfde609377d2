"""The use case "report": one page of all that is known."""
