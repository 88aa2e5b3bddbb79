"""`python -m polyptych` is the program."""

from polyptych._program import main

main()
