"""What is left here moves with the slices to come."""
