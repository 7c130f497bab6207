#!/usr/bin/env python3
"""gguf_identity - vocabularies to and from GGUF beside the gguf package of llama.cpp, and tokenizers on what was converted.

    gguf_identity.py SLUICE DATA WORK        prints a line a vocabulary; exit 1 when one differs

There: our file as GGUFReader sees it holds the tokens and merges of our tokenizer.json. Back: a file by GGUFWriter, as
a converter would write it (without our own keys), gives the ids that llama.cpp's test pairs name.
"""
import json, lzma, os, subprocess, sys
from gguf import GGUFReader, GGUFWriter, TokenType

SLUICE, DATA, WORK = sys.argv[1:4]
PAIRS = {"encoder": ("gpt-2", "ggml-vocab-gpt-2"), "qwen3": ("qwen2", "ggml-vocab-qwen2")}
SOURCES = {"cl100k": "cl100k_base.tiktoken", "o200k": "o200k_base.tiktoken", "encoder": "encoder.json",
           "qwen3": "qwen3.tokenizer.json.xz", "deepseek": "deepseek_v3.tokenizer.json.xz"}

def convert(source, to):
    subprocess.run([SLUICE, "tokenize", "convert", source, to], check=True, capture_output=True)
    return to

def by_hand(model, added, pre, path):
    """A GGUF by llama.cpp's own package."""
    size = max([*model["vocab"].values(), *(a["id"] for a in added)]) + 1
    tokens, types = [f"[PAD{i}]" for i in range(size)], [TokenType.UNUSED] * size
    for text, i in model["vocab"].items():
        tokens[i], types[i] = text, TokenType.NORMAL
    for a in added:
        tokens[a["id"]], types[a["id"]] = a["content"], TokenType.CONTROL if a["special"] else TokenType.USER_DEFINED
    w = GGUFWriter(path, "qwen2")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()

def pair_differences(tokenizer, name):
    with open(f"{DATA}/vocab/{name}.gguf.inp", encoding="utf-8", newline="") as f:
        texts = f.read().split("\n__ggml_vocab_test__\n")
    with open(f"{DATA}/vocab/{name}.gguf.out") as f:
        wanted = [[int(i) for i in line.split()] for line in f.read().splitlines()]
    wanted += [[]] * (len(texts) - len(wanted))
    lines = "".join(json.dumps({"text": x}) + "\n" for x in texts)
    out = subprocess.run([SLUICE, "tokenize", "encode", f"--tokenizer={tokenizer}", "--jsonl", "-"], input=lines.encode(),
                         check=True, stdout=subprocess.PIPE).stdout
    got = [json.loads(line)["tokens"] for line in out.splitlines()]
    return sum(a != b for a, b in zip(got, wanted)), len(texts)

def main():
    bad = 0
    for name, file in SOURCES.items():
        source = f"{DATA}/vocab/{file}"
        if source.endswith(".xz"):
            with lzma.open(source) as f, open(f"{WORK}/{name}-in.json", "wb") as to:
                to.write(f.read())
            source = to.name
        ours = convert(source, f"{WORK}/{name}.gguf")
        with open(convert(source, f"{WORK}/{name}.json"), encoding="utf-8") as f:
            whole = json.load(f)
        fields = {k: v.contents() for k, v in GGUFReader(ours).fields.items()}
        tokens = fields["tokenizer.ggml.tokens"]
        wrong = sum(tokens[i] != text for text, i in whole["model"]["vocab"].items())
        wrong += sum(tokens[a["id"]] != a["content"] for a in whole["added_tokens"])
        wrong += fields["tokenizer.ggml.merges"] != whole["model"]["merges"]
        line = f"gguf {name}: {len(tokens)} tokens, {len(whole['model']['merges'])} merges: {wrong} differ"
        bad += wrong
        if name in PAIRS:
            by_hand(whole["model"], whole["added_tokens"], PAIRS[name][0], f"{WORK}/{name}-back.gguf")
            differ, count = pair_differences(f"{WORK}/{name}-back.gguf", PAIRS[name][1])
            line += f"; by its writer: {differ} of {count} test pairs differ"
            bad += differ
        print(line, flush=True)
    return bad > 0

sys.exit(main())
