"""One module per format, each with `FORMAT`: how it is recognised and how it is read."""
