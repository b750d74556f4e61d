"""Fused CPU kernels in C++ without headers of torch, compiled in seconds at first use."""
