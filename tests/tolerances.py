"""Tolerances, each with the error measured when it was set (2026-11-21, CPU)."""

# Against another float32 implementation or the float64 reference: measured up to 3e-6
# on activations of order 1.
FLOAT32 = 1e-5
# Against other libraries' logits of order 10 (golden data, transformers).
PARITY = 1e-4
# bfloat16 has 8 bits of mantissa.
BFLOAT16 = 5e-2
