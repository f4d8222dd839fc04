"""The settings: their model, their loader, and a sample."""
