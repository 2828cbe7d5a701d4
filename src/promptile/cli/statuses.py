"""Exit statuses."""

OK, ERROR, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
