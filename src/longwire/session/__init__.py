"""An open connection: what it decides, without I/O, from the 101 to its report."""
