"""What the processor is fast in."""

import torch


def quick_bf16() -> bool:
    """Whether the CPU multiplies matrices faster in bf16 than in float32."""
    capable = torch.cpu.get_capabilities()
    # Intel's vector unit multiplies half as fast in bf16 as in float32; its tiles, and the units of others, are faster.
    vectors = capable.get("avx512_bf16") and not str(capable.get("cpu_name", "")).startswith("Intel")
    return bool(vectors or capable.get("amx_bf16") or capable.get("bf16"))
