"""The scoring server: answers requests with a script as Azure ML would. It knows nothing of reloads."""
