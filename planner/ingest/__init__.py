"""Other tools' results → domain: recognised by content, judged by lints, bound to the variant they are about. Pure.

`recognise` finds the format, its `read` says what is in the file, `combine` joins the files of one run, `bind` makes
profiles and evaluations of basis `imported`. What a file does not say is asked for, never read from its name.
"""
