"""Drawing for pages of HTML that need neither a script nor a network."""
