"""The documented API of `websockets`, offered by longwire."""
