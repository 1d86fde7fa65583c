"""What crosses the wire between server and clients besides the domain's own nouns: pages, rows, requests, replies, problems.

API, workspace and client share these structs, so that a question asked in process and one asked over HTTP have the same
types. Standard library, msgspec and the domain only.
"""
