"""From files to rows, and from rows to records and examples."""
