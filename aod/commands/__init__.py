"""The command line: a command a file; `loop.py` and `options.py` are what several share."""
