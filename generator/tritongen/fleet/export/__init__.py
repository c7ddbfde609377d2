"""Deployment files from a plan."""
