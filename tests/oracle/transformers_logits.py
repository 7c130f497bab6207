#!/usr/bin/env python3
"""transformers_logits - makes tests/golden/model/: two tiny models by other hands, and what they answer.

  pip install "transformers==4.46.3" "jax[cpu]==0.4.35" "flax==0.10.1" "numpy<2" safetensors
  tests/oracle/transformers_logits.py make tests/golden/model     config.json, model.safetensors, logits.txt
  tests/oracle/transformers_logits.py show FOLDER 1,5,2           logits of any folder that sluice saved

Weights come from numpy and are written by the safetensors library; logits come from transformers (Flax, CPU, fp32)."""
import json
import os
import sys

import numpy as np
from safetensors.numpy import save_file
from transformers import FlaxAutoModelForCausalLM, GPT2Config, LlamaConfig

IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 18]


def llama():
    # Flax knows no other rope_theta and does not tie a llama.
    c = LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                    num_key_value_heads=2, max_position_embeddings=16, vocab_size=19, rms_norm_eps=1e-5,
                    tie_word_embeddings=False, torch_dtype="float32")
    c.architectures = ["LlamaForCausalLM"]
    shapes = {"model.embed_tokens.weight": (19, 16), "model.norm.weight": (16,), "lm_head.weight": (19, 16)}
    for i in range(2):
        p = f"model.layers.{i}."
        shapes |= {p + "input_layernorm.weight": (16,), p + "post_attention_layernorm.weight": (16,),
                   p + "self_attn.q_proj.weight": (16, 16), p + "self_attn.k_proj.weight": (8, 16),
                   p + "self_attn.v_proj.weight": (8, 16), p + "self_attn.o_proj.weight": (16, 16),
                   p + "mlp.gate_proj.weight": (24, 16), p + "mlp.up_proj.weight": (24, 16),
                   p + "mlp.down_proj.weight": (16, 24)}
    return c, shapes


def gpt2():
    c = GPT2Config(n_embd=16, n_inner=None, n_layer=2, n_head=4, n_positions=16, vocab_size=19,
                   torch_dtype="float32")
    c.architectures = ["GPT2LMHeadModel"]
    shapes = {"transformer.wte.weight": (19, 16), "transformer.wpe.weight": (16, 16),
              "transformer.ln_f.weight": (16,), "transformer.ln_f.bias": (16,)}
    for i in range(2):
        p = f"transformer.h.{i}."
        shapes |= {p + "ln_1.weight": (16,), p + "ln_1.bias": (16,), p + "ln_2.weight": (16,), p + "ln_2.bias": (16,),
                   p + "attn.c_attn.weight": (16, 48), p + "attn.c_attn.bias": (48,),
                   p + "attn.c_proj.weight": (16, 16), p + "attn.c_proj.bias": (16,),
                   p + "mlp.c_fc.weight": (16, 64), p + "mlp.c_fc.bias": (64,),
                   p + "mlp.c_proj.weight": (64, 16), p + "mlp.c_proj.bias": (16,)}
    return c, shapes


def logits(folder, ids):
    model = FlaxAutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return np.asarray(model(np.array([ids])).logits[0], dtype=np.float64)


def make(root):
    for name, (config, shapes) in {"llama": llama(), "gpt2": gpt2()}.items():
        folder = os.path.join(root, name)
        os.makedirs(folder, exist_ok=True)
        rng = np.random.default_rng(7)
        tensors = {k: rng.normal(1 if "norm.weight" in k or "ln_" in k and k.endswith("weight") else 0, 0.25,
                                 s).astype(np.float32) for k, s in sorted(shapes.items())}
        config.save_pretrained(folder)
        save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(folder, "logits.txt"), "w") as out:
            for token, row in zip(IDS, logits(folder, IDS)):
                out.write(f"{token} " + " ".join(f"{v:.7f}" for v in row) + "\n")


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    for row in logits(sys.argv[2], [int(i) for i in sys.argv[3].split(",")]):
        print(" ".join(f"{v:.6f}" for v in row))
