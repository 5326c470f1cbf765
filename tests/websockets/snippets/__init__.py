"""Every program that the documents print, run with only its import line changed."""
