"""Moving pictures: a sequence of frames restyled so that they hold still, and video files in and out."""
