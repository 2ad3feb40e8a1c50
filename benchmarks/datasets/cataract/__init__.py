"""Cataract-1K and Cataract-101: phases of cataract surgeries, as published."""
