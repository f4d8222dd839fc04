"""The only place that knows pjsua2: worker processes, their pool, and the wire between them."""
