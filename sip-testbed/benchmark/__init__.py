"""Measuring the server from outside: a SIP and RTP peer in C, clicks over HTTP, and the kernel's accounts of processes.

Times on the wire are the kernel's receive time stamps, so how busy the measuring programs are does not show in them.
"""

# SPDX-License-Identifier: GPL-2.0-or-later
