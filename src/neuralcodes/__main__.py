"""`python -m neuralcodes`."""

from neuralcodes.cli.main import main

main()
