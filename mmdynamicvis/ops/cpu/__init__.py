"""Fused kernels for the CPU: C++ without any header of torch, compiled in seconds at first use."""
