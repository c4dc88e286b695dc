"""Processes and what joins them: sockets, pipes, a shared page, the terminal, the platform."""
