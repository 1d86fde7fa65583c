"""What workspace, API and client share, and what crosses the wire besides the domain's own nouns: pages, rows, requests, replies, problems.

A question asked in process and one asked over HTTP have the same types. Standard library, msgspec and the domain only.
"""
