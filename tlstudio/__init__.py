"""Transfer Learning Studio: from folders of pictures to a trustworthy classifier."""

import os

__version__ = "0.1.0"

# Nothing leaves the computer: onnxruntime would note what it is used for and send it to its makers.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
