"""Speed against peers, and what the frozen parts keep: programs that measure, no part of a run."""
