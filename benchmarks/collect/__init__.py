"""From a plan that ran to what it found: the record, its cells, and what the page shows.

The only reader of stages' results. What comes after it needs neither data nor weights nor cache.
"""
