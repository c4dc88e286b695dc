"""The page beside the editor: a process of its own that shows what the terminal shows, and sends requests."""
