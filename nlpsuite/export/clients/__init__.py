"""Other programs that run a portable bundle, and whether they compute what nlpsuite does."""
