"""From a generator to a training set: prompts, synthesis, users' videos, mixing."""
