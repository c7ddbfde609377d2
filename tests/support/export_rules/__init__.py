"""Rules that the exported files obey and that their targets' own validators miss."""
