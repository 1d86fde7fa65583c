"""Bytes of variants: the content-addressed store, manifests, header inspection and verified fetch.

Nothing here trusts a name, a length or a label: sizes and hashes are checked while bytes move, and facts about a model
come from the headers of its files.
"""
