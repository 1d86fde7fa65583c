"""Xet uploads taken apart: chunks in xorbs, files as lists of chunks in shards, and the bytes put together again.

Current Hugging Face clients upload this way without asking. Nothing is kept in this form: whole files go to the blob store, and
of a xorb only the index stays, which says where its chunks lie in them. Formats: https://huggingface.co/docs/xet and
https://datatracker.ietf.org/doc/draft-denis-xet/.
"""
