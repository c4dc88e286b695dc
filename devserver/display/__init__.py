"""How records look: on the terminal, in the event stream, in the verdict of a check."""
