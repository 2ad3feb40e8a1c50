"""The floor of the suite: stages, clips, video files, runtime, progress. Knows nothing of surgery."""
