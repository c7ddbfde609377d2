"""One module per use case: wires the edges together."""
