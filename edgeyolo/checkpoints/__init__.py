"""Safe readers of checkpoint files: official ones, old ones, our own."""
