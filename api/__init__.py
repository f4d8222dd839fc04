"""The HTTP API (Tornado), the command line, and the composition root."""
