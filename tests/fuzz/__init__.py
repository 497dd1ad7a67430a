"""`make fuzz`: what comes from outside, mutated; nothing of it may end in a traceback or hang."""
