#!/usr/bin/env python3
"""train_check - vocabularies learned by rustbpe and tokenizers (PyPI) from the same texts, beside ours: train_check.py RUN SLUICE

rustbpe has our rule for ties (the smaller ids), so every token must be the same, in the same place. tokenizers
numbers bytes in another order, so pairs that tie are merged in another order: nearly all tokens must be the same.
"""
import base64, glob, json, os, subprocess, sys, tarfile, tempfile

PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
SIZE = 6000

def packages():
    try:
        import rustbpe, tokenizers
    except ImportError:
        if subprocess.run([sys.executable, "-m", "pip", "install", "-q", "rustbpe", "tokenizers"], capture_output=True).returncode:
            print("rustbpe could not be installed")
            sys.exit(77)

def texts(run):
    """The Universal Declaration of Human Rights in all languages, the run's corpus, and what no corpus holds."""
    data = os.environ.get("SLUICE_DATA", "../shared/data") + "/text/udhr2.tar.xz"
    if os.path.exists(data):
        with tarfile.open(data) as tar:
            for member in tar:
                if member.isreg():
                    yield tar.extractfile(member).read().decode("utf-8", "replace")
    for path in sorted(glob.glob(f"{run}/corpus/*.zst")):
        for line in subprocess.run(["zstd", "-dc", path], capture_output=True).stdout.splitlines():
            yield json.loads(line)["text"]
    yield "aaaa aaaaaaa abababab 1234567 don't DON'T\t\t\r\n\n \u3000x e\u0301\u0301" * 50

def ours(sluice, work, pattern):
    subprocess.run([sluice, "tokenize", "train", "--jsonl", "--held_out=0", f"--vocab_size={SIZE + 1}", f"--pretok={pattern}",
                    "--threads=3", f"--out={work}/{pattern}", f"{work}/texts.jsonl"], check=True, capture_output=True)
    with open(f"{work}/{pattern}/tokenizer.tiktoken") as f:
        return [base64.b64decode(line.split()[0]) for line in f]

def tokenizers_learn(lines, pattern):
    from tokenizers import Tokenizer, Regex, models, pre_tokenizers, trainers
    k = Tokenizer(models.BPE())
    k.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    k.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=SIZE, min_frequency=2, show_progress=False, special_tokens=[],
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    byte = {chr(c): c for c in plain} | {chr(256 + i): c for i, c in enumerate(c for c in range(256) if c not in plain)}
    return {bytes(byte[c] for c in token) for token in k.get_vocab()}

def main():
    packages()
    import rustbpe
    run, sluice = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as work:
        lines = list(texts(run))
        with open(f"{work}/texts.jsonl", "w") as f:
            f.writelines(json.dumps({"text": text}) + "\n" for text in lines)
        for pattern, regex in PATTERNS.items():
            mine = ours(sluice, work, pattern)
            k = rustbpe.Tokenizer()
            k.train_from_iterator(iter(lines), SIZE, pattern=regex)
            theirs = [bytes(token) for token, _ in sorted(k.get_mergeable_ranks(), key=lambda x: x[1])]
            # Without the declaration's languages there are not so many pairs to merge.
            assert len(theirs) == len(mine) > 400, (pattern, len(theirs), len(mine))
            first = next((i for i in range(len(mine)) if mine[i] != theirs[i]), None)
            assert first is None, (pattern, first, mine[first], theirs[first])
            common = len(tokenizers_learn(lines, pattern) & set(mine))
            # At the end of a small text every pair ties.
            assert common >= (0.995 if len(mine) == SIZE else 0.9) * len(mine), (pattern, common, len(mine))
            print(f"{pattern}: {len(mine)} tokens as rustbpe's, {common} in tokenizers' vocabulary")
    print(f"{len(lines)} texts, {sum(len(x.encode()) for x in lines)} bytes")

if __name__ == "__main__":
    main()
