"""Real SIP peers for tests and demonstrations: a trunk, scripted answers, phones, and ears.

Every peer is a context manager: entering starts it and waits until it is ready, leaving ends it and everything it
started, and nothing outlives the process that made it. All traffic stays on loopback, or in a network namespace
that the peer's owner makes and removes.
"""

# SPDX-License-Identifier: GPL-2.0-or-later
