"""What is personal in a text or a column, in Chinese and in English, without a network."""

from __future__ import annotations

import os

# ONNX Runtime 1.31 for Linux reports to its maker from native code, and writes a device id into the home folder, once
# it is imported. Said here, before any module of ours can import it; saying it later has no effect.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
