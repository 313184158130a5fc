#!/usr/bin/env bash
# Quantisation-aware training in PyTorch: a fake-quantise module changes its buffer `scale` in a forward pass, after
# the scale was used in a product whose backward pass is still to come. There is one module that observes and quantises
# in two steps (FakeQuantize), and one that does both in one kernel (FusedMovingAvgObsFakeQuantize), which the default
# configuration for training uses.
#
# One would guess: both change the buffer in place, so both raise its version, and autograd refuses the backward pass
# ("modified by an inplace operation"), as it does for any tensor that it has saved.
# What happens: the fused kernel writes to `scale`, `min_val` and `max_val` without raising their versions. Autograd sees
# nothing and gives the gradient for the new scale, which is not the one that the product was computed with. Whoever
# tells changed buffers by their versions, to put them back after an evaluation, misses these too.
set -euo pipefail
version=2.13.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "torch==$version" numpy
cat > "$folder/scale.py" <<'PYTHON'
import warnings

import torch
from torch.ao.quantization import FakeQuantize, FusedMovingAvgObsFakeQuantize, MovingAverageMinMaxObserver

warnings.simplefilter("ignore")
for kind in (FakeQuantize, FusedMovingAvgObsFakeQuantize):
    torch.manual_seed(0)
    module = kind(observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255)
    x = torch.randn(8, 4)
    module(x)
    weight = torch.ones(1, requires_grad=True)
    used = module.scale.clone()
    product = (weight * module.scale).sum()
    version = module.scale._version
    module(3 * x)
    print(f"{kind.__name__}: scale changed: {not torch.equal(used, module.scale)}", end=", ")
    print(f"version raised: {module.scale._version > version}", end=", ")
    try:
        product.backward()
    except RuntimeError as error:
        print("backward refused:", "modified by an inplace operation" in str(error))
    else:
        print("gradient is of the scale that was used:", torch.equal(weight.grad, used), end=", ")
        print("of the new one:", torch.equal(weight.grad, module.scale))
PYTHON
"$folder/env/bin/python" --version
echo "torch $("$folder/env/bin/python" -c 'import torch; print(torch.__version__)')"
seen=$("$folder/env/bin/python" "$folder/scale.py")
echo "$seen"
expected='FakeQuantize: scale changed: True, version raised: True, backward refused: True
FusedMovingAvgObsFakeQuantize: scale changed: True, version raised: False, gradient is of the scale that was used: False, of the new one: True'
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
