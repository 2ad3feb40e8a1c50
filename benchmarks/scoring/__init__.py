"""From predictions to scores, cells and statistics."""
