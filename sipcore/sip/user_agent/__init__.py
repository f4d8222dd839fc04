"""The SIP user agent of a worker process: the only modules that touch pjsua2.

Everything here runs in one thread, so that a command can never meet a call that another thread is just ending:
pjsua2 aborts the process on such a misuse.
"""
