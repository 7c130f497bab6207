#!/usr/bin/env python3
"""extract_train - fits the trees of extract/trees.def to annotated pages.

The judge of extract/model.c is fitted to pages with a gold text: each block's target is the share of its words
that stands in the gold. Two steps: the second sees the first's out-of-fold opinion of the blocks around. What is
reported comes from cross-validation over sites, never from pages the trees have seen.

    SLUICE_FEATURES=/tmp/features.bin build/unit extract_gold_features   # measures every page of the gold set
    tests/bench/extract_train.py /tmp/features.bin GOLD.jsonl.zst        # cross-validation only
    tests/bench/extract_train.py /tmp/features.bin GOLD.jsonl.zst --write extract/trees.def

Needs numpy and lightgbm, and the zstd command. Same input, same trees.
"""
import collections
import hashlib
import json
import re
import struct
import subprocess
import sys
from urllib.parse import urlparse

import lightgbm
import numpy as np

FOLDS = 5
INNER_FOLDS = 4
ROUNDS = 100
LEAF_UNIT = 4096
COPY_CHARS = 60
PARAMETERS = dict(
    objective="cross_entropy", learning_rate=0.08, num_leaves=16, min_data_in_leaf=60, feature_fraction=0.3,
    bagging_fraction=0.7, bagging_freq=1, lambda_l2=10, max_bin=63, verbose=-1, num_threads=1, seed=1,
    deterministic=True, force_row_wise=True)
WORD = re.compile(r"\w+")
NONE = 2**32 - 1


def words(text):
    return WORD.findall(text.lower())


def read_pages(path):
    """The file that the test extract_gold_features writes: see there."""
    data = open(path, "rb").read()
    at, pages = 0, []
    while at < len(data):
        url_len, blocks, first, second, nodes = struct.unpack_from("<5I", data, at)
        at += 20
        page = {"url": data[at:at + url_len].decode(), "second": second}
        at += url_len
        page["first"] = np.frombuffer(data, np.float32, blocks * first, at).reshape(blocks, first)
        at += 4 * blocks * first
        page["tree"] = np.frombuffer(data, np.uint32, nodes * 2, at).reshape(nodes, 2).astype(np.int64)
        at += 8 * nodes
        page["block"], page["text"] = [], []
        for _ in range(blocks):
            length, chars, node, heading = struct.unpack_from("<4I", data, at)
            at += 16
            page["block"].append((chars, node, -1 if heading == NONE else heading))
            page["text"].append(data[at:at + length].decode())
            at += length
        pages.append(page)
    return pages


def read_gold(path):
    lines = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout.splitlines()
    return {row["url"]: row for row in map(json.loads, lines)}


def targets(block_words, gold_text):
    """The share of each block's words that is main text. Long blocks are found by their word triples; short ones
    count when the gold has them as a run and no longer block has used those words up, those near main text first."""
    gold = words(gold_text)
    triples = set(zip(gold, gold[1:], gold[2:]))
    left = collections.Counter(gold)
    share = np.zeros(len(block_words))
    for i, block in enumerate(block_words):
        if len(block) < 4:
            continue
        found = np.zeros(len(block), bool)
        for k in range(len(block) - 2):
            if (block[k], block[k + 1], block[k + 2]) in triples:
                found[k:k + 3] = True
        share[i] = found.mean()
    for i, block in enumerate(block_words):
        if share[i] > 0.5:
            count = collections.Counter(block)
            have = sum((count & left).values()) / len(block)
            if have < 0.6:
                share[i] = min(share[i], have)
            if share[i] > 0.5:
                left -= count
    main = np.flatnonzero(share > 0.5)
    short = [i for i, block in enumerate(block_words) if 0 < len(block) < 4]
    short.sort(key=lambda i: -float(np.sum(1 / (1 + np.abs(main[np.abs(main - i) <= 6] - i)))))
    run = " " + " ".join(gold) + " "
    for i in short:
        count = collections.Counter(block_words[i])
        if " " + " ".join(block_words[i]) + " " in run and all(left[w] >= n for w, n in count.items()):
            share[i] = 1
            left -= count
    return share


def prepare(pages, gold):
    for page in pages:
        row = gold[page["url"]]
        page["type"] = row["page_type"]
        page["words"] = [words(text) for text in page["text"]]
        page["gold"] = collections.Counter(words(row["main_content"]))
        page["target"] = targets(page["words"], row["main_content"])
        page["count"] = np.array([len(block) for block in page["words"]], float)
        host = urlparse(page["url"]).netloc
        page["fold"] = int(hashlib.md5(host.encode()).hexdigest(), 16)
        # words, not blocks, make the metric; the square root keeps pages of much furniture from ruling
        weight = np.minimum((page["count"] + 0.5) / max(sum(page["gold"].values()), 50), 0.2)
        page["weight"] = weight / max(weight.sum(), 1e-9) ** 0.5
        page["around"] = surroundings(page)


def surroundings(page):
    """Block ranges of the nested containers of each block, as features_second() walks them."""
    parent, blocks = page["tree"][:, 0].copy(), page["tree"][:, 1]
    parent[parent == NONE] = -1
    start, end = np.full(len(parent), NONE), np.zeros(len(parent), np.int64)
    for i, (_, node, _) in enumerate(page["block"]):
        start[node], end[node] = min(start[node], i), i + 1
    for i in range(len(parent) - 1, 0, -1):
        start[parent[i]], end[parent[i]] = min(start[parent[i]], start[i]), max(end[parent[i]], end[i])
    containers = np.zeros((len(page["block"]), 4), np.int64)
    for i, (_, node, _) in enumerate(page["block"]):
        least = 1
        for c in range(4):
            while parent[node] != -1 and blocks[node] < least * 2:
                node = parent[node]
            containers[i, c], least = node, blocks[node]
            node = parent[node] if parent[node] != -1 else node
    return start[containers], end[containers], np.array([h for _, _, h in page["block"]], int)


def second_columns(page, keep):
    count = len(keep)
    out = np.zeros((count, page["second"]), np.float32)
    if count == 0:
        return out
    start, end, heading = page["around"]
    chars = np.array([c for c, _, _ in page["block"]], float)
    length = np.concatenate([[0], np.cumsum(chars)])
    kept = np.concatenate([[0], np.cumsum(keep * chars)])
    index = np.arange(count)

    def mean(a, b):
        return np.where(length[b] > length[a], (kept[b] - kept[a]) / np.maximum(length[b] - length[a], 1e-9), 0)

    columns = []
    for step in range(-4, 5):
        at = index + step
        inside = (at >= 0) & (at < count)
        columns.append(np.where(inside, keep[np.clip(at, 0, count - 1)], -1))
    columns += [mean(start[:, c], end[:, c]) for c in range(4)]
    columns.append(np.where(heading < 0, -1, keep[np.maximum(heading, 0)]))
    columns.append(mean(index * 0, index * 0 + count))
    columns.append(np.full(count, kept[-1]))
    columns.append(kept[index] / kept[-1] if kept[-1] > 0 else index * 0)
    columns.append(mean(np.maximum(index - 10, 0), index))
    columns.append(mean(np.minimum(index + 1, count), np.minimum(index + 11, count)))
    assert len(columns) == page["second"]
    for c, column in enumerate(columns):
        out[:, c] = column
    return out


def fit(pages, key):
    weight = np.concatenate([page["weight"] for page in pages])
    data = lightgbm.Dataset(np.concatenate([page[key] for page in pages]),
                            np.concatenate([page["target"] for page in pages]), weight=weight / weight.mean())
    return lightgbm.train(PARAMETERS, data, num_boost_round=ROUNDS)


def predict(model, rows):
    return model.predict(rows, num_threads=1) if len(rows) else np.zeros(0)


def fit_both(train):
    opinion = {}
    for k in range(INNER_FOLDS):
        model = fit([page for page in train if page["fold"] // FOLDS % INNER_FOLDS != k], "first")
        for page in train:
            if page["fold"] // FOLDS % INNER_FOLDS == k:
                opinion[page["url"]] = predict(model, page["first"])
    for page in train:
        page["both"] = np.concatenate([page["first"], second_columns(page, opinion[page["url"]])], 1)
    return fit(train, "first"), fit(train, "both")


def judge(models, page):
    opinion = predict(models[0], page["first"])
    return predict(models[1], np.concatenate([page["first"], second_columns(page, opinion)], 1))


def f1(page, keep):
    """The choice of content.c, then the metric of the gold set."""
    weight = np.where(page["count"] > 0, page["count"], 0.5)
    order = np.argsort(-keep, kind="stable")
    value = 2 * np.cumsum((keep * weight)[order]) / (np.cumsum(weight[order]) + (keep * weight).sum() + 1e-9)
    chosen, seen, got = np.zeros(len(keep), bool), set(), collections.Counter()
    chosen[order[:int(np.argmax(value)) + 1 if len(value) else 0]] = True
    for i in np.flatnonzero(chosen):
        text = page["text"][i]
        if len(text) < COPY_CHARS or text not in seen:
            got.update(page["words"][i])
        seen.add(text)
    common = sum((got & page["gold"]).values())
    return 2 * common / (sum(got.values()) + sum(page["gold"].values())) if common else 0.0


def cross_validate(pages):
    by_type = collections.defaultdict(list)
    for fold in range(FOLDS):
        models = fit_both([page for page in pages if page["fold"] % FOLDS != fold])
        for page in pages:
            if page["fold"] % FOLDS == fold:
                by_type[page["type"]].append(f1(page, judge(models, page)))
        print(f"fold {fold + 1} of {FOLDS} done", file=sys.stderr)
    for name, values in sorted(by_type.items()):
        print(f"{name:14} {len(values):4} pages  F1 {np.mean(values):.3f}")
    every = [value for values in by_type.values() for value in values]
    print(f"{'all':14} {len(every):4} pages  F1 {np.mean(every):.4f}  (sites held out)")


def split_rows(model):
    """[(splits, leaves)] a tree: splits as (feature, limit, left, right), leaves as integers."""
    trees = []
    for tree in model.dump_model()["tree_info"]:
        splits, leaves = [], []

        def visit(node):
            if "leaf_value" in node:
                leaves.append(int(np.clip(round(node["leaf_value"] * LEAF_UNIT), -32768, 32767)))
                return -len(leaves)
            assert node["decision_type"] == "<=" and node["missing_type"] == "None"
            limit = np.float32(f"{node['threshold']:.5g}")  # short to print, as good a limit
            at = len(splits)
            splits.append(None)
            left = visit(node["left_child"])
            splits[at] = (node["split_feature"], limit, left, visit(node["right_child"]))
            return at

        visit(tree["tree_structure"])
        trees.append((splits, leaves))
    return trees


def put_rows(out, rows):
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 100:
            out.write(line + "\n")
            line = "   "
        line += " " + row + ","
    out.write(line + "\n")


def number(value):
    text = f"{float(value):.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def write_forest(out, name, model):
    trees = split_rows(model)
    out.write(f"static const struct split {name}_split[] = {{\n")
    put_rows(out, [f"{{{f}, {number(limit)}, {left}, {right}}}"
                   for splits, _ in trees for f, limit, left, right in splits])
    out.write(f"}};\nstatic const int16_t {name}_leaf[] = {{\n")
    put_rows(out, [str(leaf) for _, leaves in trees for leaf in leaves])
    out.write(f"}};\nstatic const uint8_t {name}_splits[] = {{\n")
    put_rows(out, [str(len(splits)) for splits, _ in trees])
    out.write("};\n")


def main():
    if len(sys.argv) not in (3, 5) or (len(sys.argv) == 5 and sys.argv[3] != "--write"):
        sys.exit(__doc__)
    pages, gold = read_pages(sys.argv[1]), read_gold(sys.argv[2])
    prepare(pages, gold)
    if len(sys.argv) == 3:
        cross_validate(pages)
        return
    models = fit_both(pages)
    with open(sys.argv[4], "w", encoding="ascii") as out:
        out.write("/* trees - the judge's decision trees, made by tests/bench/extract_train.py: do not edit. */\n")
        out.write("/* Fitted to the annotations of WCXB, Murrough Foley 2026, CC-BY-4.0. */\n")
        write_forest(out, "first", models[0])
        write_forest(out, "second", models[1])
    print(f"all pages, seen while fitting: F1 {np.mean([f1(page, judge(models, page)) for page in pages]):.4f}")


main()
