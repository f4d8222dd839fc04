"""The call-control core: domain (sans-IO), service (asyncio), store (database) and sip (pjsua2 workers)."""
