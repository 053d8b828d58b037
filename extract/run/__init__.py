"""One extraction: settings, plan, run, summary."""
