"""The query language: a question in English or Chinese, and the scenario it means.

`parse.parse` reads, `echo.echo` writes; what either says, the other understands. The grammar is in `grammar.lark`.
"""
