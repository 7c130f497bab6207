#!/usr/bin/env python3
"""Checks a demo run's figures with a margin: better than xz -9 and the unigram baseline, and the anneal helps.

    demo_check.py RUN
"""
import json, sys

run = sys.argv[1]
result = json.load(open(f"{run}/eval.json"))
rows = {row["domain"]: row for row in result["rows"]}
problems = []
if len(rows) < 3:
    problems.append(f"{len(rows)} domains were scored, at least 3 are wanted")
for name, row in rows.items():
    for baseline in ("xz", "unigram"):
        if row[baseline] is not None and not row["bits_per_byte"] < row[baseline] * 0.9:
            problems.append(f"{name}: {row['bits_per_byte']:.3f} bits per byte, not 10 % under {baseline}'s {row[baseline]:.3f}")
hq = rows.get("hq")
if hq and not hq["bits_per_byte"] < hq["before_anneal_bits_per_byte"] - 0.05:
    problems.append(f"hq: the anneal went from {hq['before_anneal_bits_per_byte']:.3f} to {hq['bits_per_byte']:.3f}, less than 0.05 down")
for problem in problems:
    print("demo: " + problem, file=sys.stderr)
sys.exit(4 if problems else 0)
