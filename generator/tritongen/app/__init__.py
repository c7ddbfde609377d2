"""One folder for each group of use cases, beside what they share: wires the edges together."""
