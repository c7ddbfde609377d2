"""From traffic and measurements to machines: plan, export, observe, report."""
