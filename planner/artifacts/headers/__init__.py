"""Readers of weight file headers: names, types, shapes and byte ranges of tensors, without reading the tensors.

Files are hostile until shown otherwise: every length is checked against the real size of the file before it is used.
"""
