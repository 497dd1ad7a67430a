"""The service: its stages connected in the order of the flow, reload, answers to commands."""
