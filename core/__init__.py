"""The floor: stages, clips, video files, runtime, progress. Knows nothing of surgery."""
