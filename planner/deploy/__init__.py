"""Deploy: a plan pinned to a lock, the lock judged again, and the commands and manifests that serve it.

Pure: a lock holds everything that serving needs, so that what it is turned into depends on nothing else. Reading the
registry, writing files and the clock belong to the callers.
"""
