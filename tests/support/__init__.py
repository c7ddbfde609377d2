"""Shared by the tests: real parts set up once, strategies, small models."""
