"""Where and in which number format a model runs."""

import torch

from consumer.model.errors import ModelError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_PASS_TOKENS = 100
"""On two cores 2 to 5 ms at 0.06 ms a token for OpenVINO, 9 ms at 0.1 ms for PyTorch."""
_GPU_PASS_TOKENS = 10_000
"""An estimate, no GPU was at hand: launched from Python a small model's pass takes some 3 ms, in which a GPU does about
as many. Without a bound one long comment would widen all rows of its pass."""


def choose_device(device: str) -> torch.device:
    """Return the torch device for the setting `device`: "auto" is the first GPU, else the CPU. Raises ModelError."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ModelError(f'MODEL_DEVICE is "{device}", which torch does not know; use auto, cpu or cuda') from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f'MODEL_DEVICE is "{device}" but torch sees no NVIDIA GPU; use auto or cpu')
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the torch dtype for the setting `dtype`: "auto" is the fastest one that is exact enough on `device`."""
    if dtype != "auto":
        if dtype not in _DTYPES:
            raise ModelError(f'MODEL_DTYPE is "{dtype}"; use auto or one of {", ".join(_DTYPES)}')
        return _DTYPES[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if cpu_has_bf16() else torch.float32


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware; emulated it is several times slower than fp32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


def pass_tokens(device: torch.device) -> int:
    """Return what a forward pass costs beside its tokens, in tokens."""
    return _CPU_PASS_TOKENS if device.type == "cpu" else _GPU_PASS_TOKENS
