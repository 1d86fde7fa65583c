"""Campaigns: a file of measurements to make, run unattended within a time budget and carried away as one bundle.

    campaign file ─▶ units, in order ─▶ each in a child process ─▶ a folder of results ─▶ bundle
    specification    units              execute                     ledger                 bundle

A unit is known by the digest of everything that decides its result, so running the same file again in the same folder
goes on where it stopped. Importing this package loads neither torch nor transformers.
"""
