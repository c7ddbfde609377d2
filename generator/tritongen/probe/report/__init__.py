"""Results for people and programs: text, JSON, CSV and one HTML page."""
