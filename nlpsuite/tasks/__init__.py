"""Tasks: record to prompt to output. No torch, no command line."""
