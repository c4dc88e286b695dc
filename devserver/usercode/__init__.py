"""The user's own code: whose file is it, how it is loaded, what it opens and sets."""
