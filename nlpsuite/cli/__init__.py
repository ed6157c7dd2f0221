"""The command line: one module a verb. Parses, calls one function, prints."""
