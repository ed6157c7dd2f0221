def fibonacci(n: int) -> int:
    """Return the n-th Fibonacci number, counting from fibonacci(0) == 0.

    >>> fibonacci(10)
    55
    """
