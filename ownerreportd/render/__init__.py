"""Reports as bytes to reports as values, and those to a channel's parts. No I/O."""
