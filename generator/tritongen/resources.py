"""Finds templates/ and compose/, in a wheel or in a checkout."""
