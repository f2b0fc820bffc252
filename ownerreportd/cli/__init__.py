"""The command line: one file per group of verbs; each parses, asks, prints and exits."""
