// Holds the precompiled <torch/torch.h> that every LibTorch room reuses.
