"""Counters over time: samples, totals by share and command, usual latency."""
