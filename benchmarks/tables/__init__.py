"""Tables 1 and 2 with the paper's numbers beside ours: cells and metrics -> schema -> text.

`schema` says what a table is, `build` makes one from plain data, `render` writes it.
"""
