"""The benchmark itself: datasets, plan, metrics, statistics, tables, report."""
