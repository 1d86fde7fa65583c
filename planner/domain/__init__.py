"""The nouns and rules of Variant Planner: pure, free of I/O, standard library and msgspec only.

Nothing here reads a file, a clock or a database. `loss` alone may use NumPy.
"""
