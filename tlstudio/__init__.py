"""Transfer Learning Studio: from folders of pictures to a trustworthy classifier."""

__version__ = "0.1.0"
