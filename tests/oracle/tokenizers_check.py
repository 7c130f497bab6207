#!/usr/bin/env python3
"""The `tokenizers` package, reading the run's tokenizer.json, gives the ids that lie in our store.

    tokenizers_check.py RUN SLUICE [TEXT...]    TEXT: more files to compare, through `sluice tokenize encode`
"""
import json, subprocess, sys
from tokenizers import Tokenizer

run, sluice, texts = sys.argv[1], sys.argv[2], sys.argv[3:]
tok = Tokenizer.from_file(f"{run}/tokenizer/tokenizer.json")

MIXED = """The quick brown fox doesn't jump; it'S 12345 o'clock!!  \n\n\t  Ünïcödé straße — “quotes” … naïve café
日本語のテキスト、漢字とかな。 한국어 텍스트 العربية עברית हिन्दी ไทย 😀👩‍👩‍👧 a\u0301 \u200b\ufeff\u0085 x\u00a0y  \r\n\r\n  end
if (a[i] == 0) { return b->c(\"%d\\n\", ~x); } // comment\n\n\n   \t\tindented\n<|endoftext|> www.example.com/a?b=c&d=e#f
1,234,567.89 ½ ² Ⅳ ٣٤ ------------------------------ ======== aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  """

def ours(text):
    out = subprocess.run([sluice, "tokenize", "encode", f"--tokenizer={run}/tokenizer", "--json"], input=text.encode(), stdout=subprocess.PIPE, check=True)
    return json.loads(out.stdout)

def compare(name, text):
    got, want = ours(text), tok.encode(text, add_special_tokens=False).ids
    # In tokenizers a special token's text is the special token; sluice encodes text as text.
    if "<|endoftext|>" in text:
        text = text.replace("<|endoftext|>", "<|end0ftext|>")
        got, want = ours(text), tok.encode(text, add_special_tokens=False).ids
    if got != want:
        first = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        sys.exit(f"{name}: differs at token {first}: {got[first:first+5]} != {want[first:first+5]} ({len(got)}, {len(want)})")
    return len(got)

total = compare("mixed", MIXED)
total += compare("mixed x 2000", MIXED * 2000)
for path in texts:
    total += compare(path, open(path, encoding="utf-8", errors="replace").read())
print(f"{total} tokens, the same ids")
