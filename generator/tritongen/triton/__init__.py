"""Everything that talks to a Triton: addresses, clients, tensors, statistics, reasons."""
