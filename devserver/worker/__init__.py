"""A child of the supervisor: it waits with libraries imported, or loads the script and answers."""
