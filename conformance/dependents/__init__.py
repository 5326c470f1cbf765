"""Other people's programs on ``longwire.websockets``; README.md."""
