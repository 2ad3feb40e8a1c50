"""Commands beside `run_benchmark.py`: `python -m benchmarks.commands.NAME`."""
