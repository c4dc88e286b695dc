"""The scoring server: a script and requests come in, the answers that Azure ML would give go out."""
