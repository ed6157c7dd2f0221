"""Batch scoring: a data set in, a file of results out, in spite of whatever happens in between."""
