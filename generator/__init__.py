"""Narrated clips -> curated pairs -> generator weights -> videos."""
