"""The HTTP server: tasks, OpenAI's endpoints and a page to try them, on the runtime's running batch."""
