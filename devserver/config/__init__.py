"""The settings of the command: one table, where the values come from, and which cannot be together."""
