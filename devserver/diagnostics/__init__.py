"""What went wrong as data: exceptions, results, ends of processes and settings become diagnostics."""
