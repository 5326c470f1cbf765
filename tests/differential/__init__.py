"""longwire.websockets beside the real library: a program in, the same trace out."""
