def read_lines(path: str) -> list[str]:
    """Return the lines of a text file, without line ends."""
    with open(path, encoding="utf-8") as file:
        return [