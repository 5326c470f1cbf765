"""From nothing to an open connection: plans that ask a front end for each step."""
