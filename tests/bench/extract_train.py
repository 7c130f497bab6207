#!/usr/bin/env python3
"""extract_train - fits the trees of extract/trees.def to annotated pages.

The judge of extract/model.c is fitted to pages with a gold text: each block's target is the share of its words
that stands in the gold. Three forests: the first judges each block alone; from its out-of-fold opinions and counts
over the page the second tells the page's kind; the third judges again, with the first's opinions of everything
around and the second's out-of-fold kinds. What is reported comes from cross-validation over registrable sites,
never from pages of a site that the trees have seen. All of this is done MEMBERS times with other random numbers, and
the mean of their logits is what counts: one fit alone turns whole pages over by chance.

    SLUICE_FEATURES=/tmp/features.bin build/unit extract_gold_features   # measures every page of the gold set
    extract_train.py FEATURES GOLD.jsonl.zst                             # cross-validation only
    extract_train.py FEATURES GOLD.jsonl.zst --write extract/trees.def   # fits to all pages
    extract_train.py FEATURES GOLD.jsonl.zst --folds OUT.json            # {url: fold}
    extract_train.py FEATURES GOLD.jsonl.zst --fold K --write OUT.def    # fits to all pages but those of fold K

Data: the 448 raw pages of WCXB's development part with their gold texts and kinds (Murrough Foley 2026, CC-BY-4.0),
nothing else. Chosen by hand on these pages, so not free of them: the parameters below, the weights in prepare(), and
the constants in extract/choose.c and content.c. Needs numpy and lightgbm, and the zstd command. Same input, same trees.
"""
import argparse
import collections
import hashlib
import heapq
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
MEMBERS = 4  # as in extract/judge.h
ROUNDS = 100
LEAF_UNIT = 4096
COPY_CHARS = 60
LEVELS = 64
HIDDEN, NEAR_TAGS = 25, 210  # columns of features_first()
MAIN_UNITS = 33  # column of features_page(): members of the main list
PARAMETERS = dict(
    objective="cross_entropy", learning_rate=0.08, num_leaves=16, min_data_in_leaf=60, feature_fraction=0.3,
    bagging_fraction=0.7, bagging_freq=1, lambda_l2=10, max_bin=63, verbose=-1, num_threads=1,
    extra_trees=True, deterministic=True, force_row_wise=True)
WORD = re.compile(r"\w+")
NONE = 2**32 - 1
SECOND_LEVEL = {"com", "org", "net", "gov", "edu", "ac", "co", "or", "ne", "go", "gob", "gouv", "govt"}


def words(text):
    return WORD.findall(text.lower())


POOLS = 10
KINDS = ["article", "collection", "documentation", "forum", "listing", "product", "service"]


def read_pages(path):
    """The file that the test extract_gold_features writes: see there."""
    data = open(path, "rb").read()
    at, pages = 0, []
    while at < len(data):
        url_len, blocks, first, second, whole = struct.unpack_from("<5I", data, at)
        at += 20
        page = {"url": data[at:at + url_len].decode(), "second": second}
        at += url_len
        page["whole"] = np.frombuffer(data, np.float32, whole, at)
        at += 4 * whole
        page["first"] = np.frombuffer(data, np.float32, blocks * first, at).reshape(blocks, first)
        at += 4 * blocks * first
        table = np.frombuffer(data, np.uint32, blocks * (2 * POOLS + 6), at).reshape(blocks, 2 * POOLS + 6).astype(np.int64)
        at += 4 * blocks * (2 * POOLS + 6)
        page["range"] = table[:, :2 * POOLS].reshape(blocks, POOLS, 2)
        page["path"], page["single"] = table[:, 2 * POOLS], table[:, 2 * POOLS + 1:2 * POOLS + 4]
        page["single"][page["single"] == NONE] = -1
        page["chars"] = table[:, -2].astype(float)
        page["text"] = []
        for length in table[:, -1]:
            page["text"].append(data[at:at + length].decode())
            at += int(length)
        pages.append(page)
    return pages


def read_gold(path):
    lines = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout.splitlines()
    return {row["url"]: row for row in map(json.loads, lines)}


def common_runs(stream, gold):
    """Maximal runs of at least three words that page and gold share: (length, start in page, start in gold)."""
    where = collections.defaultdict(list)
    for j in range(len(gold) - 2):
        where[tuple(gold[j:j + 3])].append(j)
    runs, started = [], {}
    for i in range(len(stream) - 1):
        here = where.get(tuple(stream[i:i + 3]), ())[:50]
        going = {j: started.get(j - 1, i) for j in here}
        for j, start in started.items():
            if j + 1 not in going:
                length = i + 2 - start
                runs.append((length, start, j + 3 - length))
        started = going
    return runs


def match_runs(runs, stream_len, gold_len):
    """Which words of page and gold are matched when the longest runs go first and no word is used twice: a phrase
    in a menu does not take the place of the same phrase in the text."""
    page_used, gold_used = np.zeros(stream_len + 1, bool), np.zeros(gold_len + 1, bool)
    heap = [(-length, start, at) for length, start, at in runs]
    heapq.heapify(heap)
    while heap:
        length, start, at = heapq.heappop(heap)
        free = ~(page_used[start:start - length] | gold_used[at:at - length])
        if free.all():
            page_used[start:start - length] = gold_used[at:at - length] = True
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(int), [0]])))
        for first, last in zip(edges[::2], edges[1::2]):
            if last - first >= 3:
                heapq.heappush(heap, (int(first - last), start + int(first), at + int(first)))
    return page_used[:stream_len], gold_used[:gold_len]


def targets(block_words, gold_text):
    """The share of each block's words that is main text. Words are found in runs that may go over several blocks;
    short blocks that no run covers count when the gold has their words left over, those near main text first."""
    gold = words(gold_text)
    stream = [word for block in block_words for word in block]
    owner = np.repeat(np.arange(len(block_words)), [len(block) for block in block_words]).astype(int)
    page_used, gold_used = match_runs(common_runs(stream, gold), len(stream), len(gold))
    hit = np.bincount(owner, page_used, minlength=len(block_words))
    share = hit / np.maximum(np.bincount(owner, minlength=len(block_words)), 1)
    left = collections.Counter(word for word, used in zip(gold, gold_used) if not used)
    main = np.flatnonzero(share > 0.5)
    short = [i for i, block in enumerate(block_words) if 0 < len(block) < 4 and share[i] < 0.5]
    short.sort(key=lambda i: -float(np.sum(1 / (1 + np.abs(main[np.abs(main - i) <= 6] - i)))))
    for i in short:
        count = collections.Counter(block_words[i])
        if all(left[word] >= n for word, n in count.items()):
            share[i] = 1
            left -= count
    return share


def site_of(url):
    """The registrable site: shop.example.co.uk and www.example.co.uk are one."""
    host = re.sub(r":\d+$", "", urlparse(url).netloc.lower())
    labels = host.split(".")
    second = len(labels) > 2 and len(labels[-1]) == 2 and (len(labels[-2]) < 3 or labels[-2] in SECOND_LEVEL)
    return ".".join(labels[-3 if second else -2:])


def prepare(pages, gold):
    for page in pages:
        row = gold[page["url"]]
        page["type"] = row["page_type"]
        page["words"] = [words(text) for text in page["text"]]
        page["gold"] = collections.Counter(words(row["main_content"]))
        page["target"] = targets(page["words"], row["main_content"])
        page["count"] = np.array([len(block) for block in page["words"]], float)
        page["kind"] = KINDS.index(row["page_type"])
        page["fold"] = int(hashlib.md5(site_of(page["url"]).encode()).hexdigest(), 16)
        # words, not blocks, make the metric; the square root keeps pages of much furniture from ruling
        weight = np.minimum((page["count"] + 0.5) / max(sum(page["gold"].values()), 50), 0.2)
        page["weight"] = weight / max(weight.sum(), 1e-9) ** 0.5


def opinion_sums(page, keep):
    length = np.concatenate([[0], np.cumsum(page["chars"])])
    kept = np.concatenate([[0], np.cumsum(keep * page["chars"])])
    return kept, lambda a, b: np.where(length[b] > length[a], (kept[b] - kept[a]) / np.maximum(length[b] - length[a], 1e-9), 0)


def page_columns(page, keep):
    """The page as features_page_judged() measures it."""
    count = len(keep)
    if count == 0:
        return np.concatenate([page["whole"], np.zeros(6)]).astype(np.float32)
    kept, mean = opinion_sums(page, keep)
    main = page["range"][0, 7]
    return np.concatenate([page["whole"], [
        mean(0, count), kept[-1], keep.max(), (keep > 0.5).mean(),
        mean(main[0], main[1]) if page["whole"][MAIN_UNITS] > 0 else -1, mean(0, count // 2)]]).astype(np.float32)


def second_columns(page, keep, kinds):
    """What features_second() measures."""
    count = len(keep)
    out = np.zeros((count, page["second"]), np.float32)
    if count == 0:
        return out
    kept, mean = opinion_sums(page, keep)
    index = np.arange(count)
    columns = []
    for step in range(-4, 5):
        at = index + step
        inside = (at >= 0) & (at < count)
        columns.append(np.where(inside, keep[np.clip(at, 0, count - 1)], -1))
    columns += [mean(page["range"][:, i, 0], page["range"][:, i, 1]) for i in range(POOLS)]
    chars, path = np.bincount(page["path"], page["chars"]), np.bincount(page["path"], keep * page["chars"])
    columns.append((path / np.maximum(chars, 1e-9))[page["path"]])
    for i in range(3):
        one = page["single"][:, i]
        columns.append(np.where(one < 0, -1, keep[np.maximum(one, 0)]))
    columns.append(mean(index * 0, index * 0 + count))
    columns.append(np.full(count, kept[-1]))
    columns.append(kept[index] / kept[-1] if kept[-1] > 0 else index * 0)
    columns.append(mean(np.maximum(index - 10, 0), index))
    columns.append(mean(np.minimum(index + 1, count), np.minimum(index + 11, count)))
    columns.append(np.full(count, keep.max()))
    columns += [np.full(count, share) for share in kinds]
    assert len(columns) == page["second"]
    for c, column in enumerate(columns):
        out[:, c] = column
    return out


def fit(pages, key, seed):
    weight = np.concatenate([page["weight"] for page in pages])
    data = lightgbm.Dataset(np.concatenate([page[key] for page in pages]),
                            np.concatenate([page["target"] for page in pages]), weight=weight / weight.mean())
    return lightgbm.train(PARAMETERS | {"seed": seed}, data, num_boost_round=ROUNDS)


def predict(model, rows):
    return model.predict(rows, num_threads=1) if len(rows) else np.zeros(0)


KIND_PARAMETERS = dict(
    objective="multiclass", num_class=len(KINDS), learning_rate=0.1, num_leaves=5, min_data_in_leaf=6,
    feature_fraction=0.3, bagging_fraction=0.8, bagging_freq=1, lambda_l2=5, max_bin=63, verbose=-1, num_threads=1,
    deterministic=True, force_row_wise=True)
KIND_ROUNDS = 40


def fit_kind(pages, seed):
    rows = np.stack([page["page_row"] for page in pages])
    data = lightgbm.Dataset(rows, np.array([page["kind"] for page in pages]))
    return lightgbm.train(KIND_PARAMETERS | {"seed": seed}, data, num_boost_round=KIND_ROUNDS)


def inner(page, k):
    return page["fold"] // FOLDS % INNER_FOLDS == k


def fit_member(train, seed):
    for k in range(INNER_FOLDS):
        model = fit([page for page in train if not inner(page, k)], "first", seed)
        for page in train:
            if inner(page, k):
                page["opinion"] = predict(model, page["first"])
                page["page_row"] = page_columns(page, page["opinion"])
    for k in range(INNER_FOLDS):
        model = fit_kind([page for page in train if not inner(page, k)], seed)
        for page in train:
            if inner(page, k):
                page["kinds"] = model.predict(page["page_row"][None], num_threads=1)[0]
    for page in train:
        page["both"] = np.concatenate([page["first"], second_columns(page, page["opinion"], page["kinds"])], 1)
    return fit(train, "first", seed), fit_kind(train, seed), fit(train, "both", seed)


def fit_all(train):
    return [fit_member(train, 1 + member) for member in range(MEMBERS)]


def judge_alone(models, page):
    opinion = predict(models[0], page["first"])
    kinds = models[1].predict(page_columns(page, opinion)[None], num_threads=1)[0]
    return predict(models[2], np.concatenate([page["first"], second_columns(page, opinion, kinds)], 1))


def judge(members, page):
    keep = np.clip([judge_alone(models, page) for models in members], 1e-7, 1 - 1e-7)
    return 1 / (1 + np.exp(-np.mean(np.log(keep / (1 - keep)), 0)))


def choose(page, keep):
    """The choice of choose.c, as block numbers."""
    weight = np.where(page["count"] > 0, page["count"], 0.5)
    near = page["first"][:, NEAR_TAGS:NEAR_TAGS + 6] < 31  # nav, header, footer, aside, main, article
    furniture = (page["first"][:, HIDDEN] > 0) | near[:, 0] | near[:, 2] | (near[:, 1] & ~near[:, 4] & ~near[:, 5])
    outside = weight[~furniture].sum()
    if outside < 5 and outside * 10 < weight[furniture].sum() and (keep * weight).sum() < 100:
        return []
    order = np.argsort(-keep, kind="stable")
    taken = np.cumsum(weight[order])
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    above = np.searchsorted(-keep[order], -levels, side="left")
    truth = np.where(above > 0, taken[np.maximum(above - 1, 0)], 0)
    value = (np.minimum(taken[:, None], truth) / (taken[:, None] + truth)).sum(1)
    seen, out, last = set(), [], None
    for i in sorted(order[:int(np.argmax(value)) + 1]):
        text = page["text"][i]
        if text != last and (len(text) < COPY_CHARS or text not in seen):
            out.append(i)
        seen.add(text)
        last = text
    return out


def f1(page, keep):
    """The metric of the gold set; nothing where nothing is to be said is right."""
    got = collections.Counter()
    for i in choose(page, keep) if len(keep) else []:
        got.update(page["words"][i])
    common, every = sum((got & page["gold"]).values()), sum(got.values()) + sum(page["gold"].values())
    return 2 * common / every if every else 1.0


def cross_validate(pages):
    by_type = collections.defaultdict(list)
    for fold in range(FOLDS):
        members = fit_all([page for page in pages if page["fold"] % FOLDS != fold])
        for page in pages:
            if page["fold"] % FOLDS == fold:
                by_type[page["type"]].append(f1(page, judge(members, page)))
        print(f"fold {fold + 1} of {FOLDS} done", file=sys.stderr)
    for name, values in sorted(by_type.items()):
        print(f"{name:14} {len(values):4} pages  F1 {np.mean(values):.3f}")
    every = [value for values in by_type.values() for value in values]
    print(f"{'all':14} {len(every):4} pages  F1 {np.mean(every):.4f}  (sites held out)")


def split_rows(members, own):
    """[(splits, leaves)] a tree: splits as (feature, limit, left, right), leaves as integers. From column `own` on
    each member has columns of its own, one member's behind the other's."""
    trees = []
    for member, tree in [(m, tree) for m, model in enumerate(members) for tree in model.dump_model()["tree_info"]]:
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
            feature = node["split_feature"]
            feature += member * (members[member].num_feature() - own) if feature >= own else 0
            splits[at] = (feature, limit, left, visit(node["right_child"]))
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


def write_forest(out, name, members, own):
    trees = split_rows(members, own)
    out.write(f"static const struct split {name}_split[] = {{\n")
    put_rows(out, [f"{{{f}, {number(limit)}, {left}, {right}}}"
                   for splits, _ in trees for f, limit, left, right in splits])
    out.write(f"}};\nstatic const int16_t {name}_leaf[] = {{\n")
    put_rows(out, [str(leaf) for _, leaves in trees for leaf in leaves])
    out.write(f"}};\nstatic const uint8_t {name}_splits[] = {{\n")
    put_rows(out, [str(len(splits)) for splits, _ in trees])
    out.write("};\n")


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("features")
    arguments.add_argument("gold")
    arguments.add_argument("--write", metavar="TREES.def")
    arguments.add_argument("--fold", type=int, choices=range(FOLDS))
    arguments.add_argument("--folds", metavar="OUT.json")
    return arguments.parse_args()


def main():
    asked = options()
    pages, gold = read_pages(asked.features), read_gold(asked.gold)
    prepare(pages, gold)
    if asked.folds:
        with open(asked.folds, "w", encoding="utf-8") as out:
            json.dump({page["url"]: page["fold"] % FOLDS for page in pages}, out)
        return
    if not asked.write:
        cross_validate(pages)
        return
    train = [page for page in pages if asked.fold is None or page["fold"] % FOLDS != asked.fold]
    members = fit_all(train)
    with open(asked.write, "w", encoding="ascii") as out:
        out.write("/* trees - the judge's decision trees, made by tests/bench/extract_train.py: do not edit. */\n")
        out.write("/* Fitted to the annotations of WCXB, Murrough Foley 2026, CC-BY-4.0. */\n")
        out.write(f"enum {{ FITTED_MEMBERS = {MEMBERS} }};\n")
        for name, *models in zip(("first", "kind", "second"), *members):
            write_forest(out, name, models, train[0]["first"].shape[1])
    print(f"{len(train)} pages, seen while fitting: F1 {np.mean([f1(page, judge(members, page)) for page in train]):.4f}")


if __name__ == "__main__":
    main()
