"""A language server that offers completions in any editor."""
