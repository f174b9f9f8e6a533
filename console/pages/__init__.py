"""One module per page. A page asks the rooms below and chooses a template; it decides nothing else."""
