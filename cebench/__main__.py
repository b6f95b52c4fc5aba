"""`python -m cebench` is the `cebench` command."""

from cebench.cli import main

main()
