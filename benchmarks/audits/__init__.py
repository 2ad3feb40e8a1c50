"""Audits: questions about synthetic clips that accuracy alone does not answer."""
