"""A task beside its bundle: what other programs need to do the task as nlpsuite does. docs/task-file.md."""
