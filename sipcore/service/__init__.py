"""The asyncio side of call control: it feeds events to the domain, executes its commands and owns the timers."""
