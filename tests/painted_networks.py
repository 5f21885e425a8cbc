"""A tiny network of tokens, as transformers have them, for tests."""

from __future__ import annotations

import torch
from torch import nn


class TokenNetwork(nn.Module):
    """A class token and 4×4 image tokens of a 16×16 picture; one attention, then a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 12, 4, 4)
        self.patches = nn.Identity()
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.norm = nn.LayerNorm(12)
        self.first = nn.Parameter(torch.randn(1, 1, 12))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(pixels).flatten(2).transpose(1, 2)
        tokens = self.patches(torch.cat([self.first.expand(len(tokens), -1, -1), tokens], 1))
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        return self.norm(tokens)
