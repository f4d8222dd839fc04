"""The edge: its settings, and what a Kamailio that plays it is started with."""
