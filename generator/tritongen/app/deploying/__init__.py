"""The use cases from plan to production: plan, export, observe."""
