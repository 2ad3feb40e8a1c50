"""OphSim: a procedural simulator of ophthalmic surgery, written to disk in OphNet2024's layout."""
