// Holds the precompiled <ATen/ATen.h> that every LibTorch room reuses.
