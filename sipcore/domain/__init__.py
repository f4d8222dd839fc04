"""Call control without I/O: time and events come in as arguments, commands go out as values.

Only the standard library is imported here; no clock is read, no thread is started, no socket is opened.
"""
