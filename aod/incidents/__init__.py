"""From an anomaly to a sealed bundle, quiet after it, and who is notified."""
