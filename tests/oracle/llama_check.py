#!/usr/bin/env python3
"""llama_check - bits per byte of a trained run, measured again without a line of sluice.

  llama_check.py RUN SLUICE

Reads RUN/train/model (config.json, model.safetensors, tokenizer.json), runs the llama in numpy in double precision over
RUN/heldout/*.jsonl.zst tokenized by Hugging Face's tokenizers, and compares with RUN/train/eval.json. Exit 77: nothing
to check."""
import glob
import json
import os
import subprocess
import sys

import numpy as np
from tokenizers import Tokenizer


def read_safetensors(path):
    raw = open(path, "rb").read()
    length = int.from_bytes(raw[:8], "little")
    header, data, out = json.loads(raw[8:8 + length]), raw[8 + length:], {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        begin, end = t["data_offsets"]
        if t["dtype"] == "BF16":
            flat = (np.frombuffer(data[begin:end], "<u2").astype("<u4") << 16).view("<f4")
        else:
            flat = np.frombuffer(data[begin:end], "<f4")
        out[name] = flat.reshape(t["shape"]).astype(np.float64)
    return out


def rms(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def rope(x, theta):
    T, H, D = x.shape
    angle = np.arange(T)[:, None] * theta ** (-2.0 * np.arange(D // 2) / D)
    cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    a, b = x[..., :D // 2], x[..., D // 2:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def forward(w, c, ids):
    C, H, G = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
    D, T, eps = C // H, len(ids), c["rms_norm_eps"]
    x = w["model.embed_tokens.weight"][ids]
    mask = np.triu(np.full((T, T), -np.inf), 1)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = rms(x, w[p + "input_layernorm.weight"], eps)
        q = rope((h @ w[p + "self_attn.q_proj.weight"].T).reshape(T, H, D), c["rope_theta"])
        k = rope((h @ w[p + "self_attn.k_proj.weight"].T).reshape(T, G, D), c["rope_theta"]).repeat(H // G, 1)
        v = (h @ w[p + "self_attn.v_proj.weight"].T).reshape(T, G, D).repeat(H // G, 1)
        s = np.einsum("thd,shd->hts", q, k) / np.sqrt(D) + mask
        s = np.exp(s - s.max(-1, keepdims=True))
        s /= s.sum(-1, keepdims=True)
        x = x + np.einsum("hts,shd->thd", s, v).reshape(T, C) @ w[p + "self_attn.o_proj.weight"].T
        h = rms(x, w[p + "post_attention_layernorm.weight"], eps)
        gate, up = h @ w[p + "mlp.gate_proj.weight"].T, h @ w[p + "mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[p + "mlp.down_proj.weight"].T
    x = rms(x, w["model.norm.weight"], eps)
    return x @ w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"].T


def document_bits(w, c, ids, eot):
    """Windows of one context, half a context apart; a target counts in the first window that holds it."""
    seq, context, bits, counted, at = [eot] + ids + [eot], c["max_position_embeddings"], 0.0, 0, 0
    while counted < len(ids) + 1:
        piece = seq[at:at + context + 1]
        z = forward(w, c, np.array(piece[:-1]))
        top = z.max(-1, keepdims=True)
        logp = z - top - np.log(np.exp(z - top).sum(-1, keepdims=True))
        bits -= logp[np.arange(len(piece) - 1), piece[1:]][counted - at:].sum() / np.log(2)
        counted, at = at + len(piece) - 1, at + context // 2
    return bits


def main(run):
    folder, result = os.path.join(run, "train", "model"), os.path.join(run, "train", "eval.json")
    files = sorted(glob.glob(os.path.join(run, "heldout", "*.jsonl.zst")))
    if not files or not os.path.exists(result) or not os.path.exists(os.path.join(folder, "config.json")):
        print("the run has no trained model or no held-out text")
        return 77
    c = json.load(open(os.path.join(folder, "config.json")))
    if c["model_type"] != "llama":
        print("the model is no llama")
        return 77
    w = read_safetensors(os.path.join(folder, "model.safetensors"))
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tok.encode_special_tokens = True                     # a special token in a text is text
    eot, bad = tok.token_to_id("<|endoftext|>"), 0
    domains = json.load(open(result))["domains"]
    for path in files:
        name = os.path.basename(path)[:-len(".jsonl.zst")]
        row, bits, size, documents = domains[name], 0.0, 0, 0
        for line in subprocess.run(["zstd", "-dc", path], stdout=subprocess.PIPE, check=True).stdout.splitlines():
            text = json.loads(line)["text"]
            bits += document_bits(w, c, tok.encode(text, add_special_tokens=False).ids, eot)
            size += len(text.encode())
            documents += 1
        if documents != row["documents"] or size != row["bytes"]:
            print(f"{name}: {row['documents']} documents measured, the file has {documents}: a sample, not compared")
            continue
        got, want = row["after"], bits / size
        same = abs(got - want) < 1e-3 * want
        bad += not same
        print(f"{'ok  ' if same else 'FAIL'} {name}: eval.json {got:.5f}, numpy {want:.5f} bits per byte")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
