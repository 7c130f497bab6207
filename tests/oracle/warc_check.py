#!/usr/bin/env python3
"""warc_check - our archive reader, index and repacking against warcio, fastwarc and cdxj-indexer (PyPI).

    warc_check.py RUN SLUICE [FILE...]    RUN is not looked at; without files those of $SLUICE_DATA/warc

For each file: records by `sluice warc ls --json` against warcio's (type, URL, length, offset) and fastwarc's (count),
bodies of `sluice warc cat` against warcio's, index lines against cdxj-indexer's byte for byte, keys of odd URLs against
surt's, and what `sluice warc recompress` writes read back by warcio. A file another program refuses or stops in is
listed, not failed. Exits with 77 when a module or the data is not there, 1 when one file failed.
"""
import contextlib, glob, hashlib, io, json, os, subprocess, sys, tempfile, warnings

warnings.simplefilter("ignore")
try:
    from warcio.archiveiterator import ArchiveIterator
    from cdxj_indexer.main import CDXJIndexer
    import fastwarc.warc
except ImportError as error:
    print(error)
    sys.exit(77)

sluice, paths = sys.argv[2], sys.argv[3:]
data = os.environ.get("SLUICE_DATA", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/data"))
paths = paths or sorted(glob.glob(data + "/warc/*/*arc*") + glob.glob(data + "/html/*.warc.gz"))
if not paths:
    print(f"no archives under {data}/warc")
    sys.exit(77)
compared, refused, failed = 0, [], []

# Where we mean to differ from cdxj-indexer, and why.
KNOWN = {
    "N0taN3rd+node-warc__parseMe.warc.gz": "HTTP headers of chrome-extension: URLs are read, too",
    "richardlehane+webarchive__invalid-warcfile-contenttype-recommended.warc":
        "HTTP headers are read though the record's Content-Type is missing",
    "richardlehane+webarchive__valid-warcfile-fields-metainfo.warc": "a type on a folded line is a type",
    "richardlehane+webarchive__valid-warcfile-upper-lower-case.warc": "types in capitals are types",
}


def run(*args, code=(0,)):
    done = subprocess.run([sluice, "warc", *args], capture_output=True)
    if done.returncode not in code:
        raise AssertionError(f"sluice warc {' '.join(args)}: exit {done.returncode}: {done.stderr.decode()[-300:]}")
    return done.stdout


def theirs(path):
    """type, url, length of the block, sha1 of it, stored offset, for every record by warcio"""
    rows = []
    with open(path, "rb") as f:
        it = ArchiveIterator(f, no_record_parse=True, arc2warc=False)
        for record in it:
            body = record.raw_stream.read()
            uri = record.rec_headers.get_header("WARC-Target-URI") or record.rec_headers.get_header("uri") or ""
            kind = record.rec_type
            rows.append((kind, uri, len(body), hashlib.sha1(body).hexdigest(), it.get_record_offset()))
    return rows


def ours(path):
    rows = []
    for line in run("ls", "--json", path, code=(0, 3)).splitlines():
        row = json.loads(line)
        rows.append(row)
    return rows


def compare_records(path):
    try:
        want = theirs(path)
    except Exception as error:  # warcio stops at damage
        refused.append((path, f"warcio: {type(error).__name__} {str(error).splitlines()[0][:80] if str(error) else ''}"))
        return False
    got = ours(path)
    if subprocess.run([sluice, "warc", "check", path], capture_output=True).returncode or not want:
        refused.append((path, "damaged or empty: readers differ in what they make of it"))
        return False
    assert len(got) == len(want), f"{len(got)} records, warcio has {len(want)}"
    arc = path.endswith((".arc", ".arc.gz"))
    for i, (mine, his) in enumerate(zip(got, want)):
        if arc and i == 0:
            continue  # warcio parses the file's own record and hands out none of it
        kind, uri, length, sha1, offset = his
        assert mine["length"] == length, f"length {mine['length']}, not {length} of {uri}"
        assert mine["offset"] == offset or path.endswith("non-chunked.warc.gz"), f"offset {mine['offset']}, not {offset}"
        if not arc:
            assert mine["type"] == kind.strip(), f"type {mine['type']}, not {kind}"
        if uri and not arc:
            assert mine.get("url", "").replace(" ", "%20") == uri.removeprefix("%20").strip("<> "), f"url {mine.get('url')}, not {uri}"
        whole = run("cat", f"--offset={offset}", path)
        # several records may stand at one offset (in one member): then all of them come
        bodies = [b for b in (whole[:-4],) if hashlib.sha1(b[len(b) - length:] if length else b"").hexdigest() == sha1]
        shared = sum(1 for r in want if r[4] == offset) > 1
        assert bodies or shared, f"body of {uri} at {offset} differs"
    return True


def compare_fastwarc(path):
    if path.endswith((".arc", ".arc.gz")) or "arc" not in os.path.basename(path):
        return
    try:
        with open(path, "rb") as f:
            want = [(r.headers.get("WARC-Target-URI", "").strip("<>"), hashlib.sha1(r.reader.read()).hexdigest())
                    for r in fastwarc.warc.ArchiveIterator(f, parse_http=False)]
    except Exception as error:
        refused.append((path, f"fastwarc: {type(error).__name__} {str(error)[:80]}"))
        return
    got = ours(path)
    if len(want) < len(got):  # it stops at the first record that is not to its liking, without a word
        refused.append((path, f"fastwarc: stops behind {len(want)} of {len(got)} records"))
        return
    assert len(want) == len(got), f"{len(got)} records, fastwarc has {len(want)}"


def compare_index(path):
    out = io.StringIO()
    try:
        indexer = CDXJIndexer(None, [path], sort=False)
        indexer.output = out
        with open(path, "rb") as f:
            indexer.process_one(f, out, path)
    except Exception as error:
        refused.append((path, f"cdxj-indexer: {type(error).__name__} {str(error)[:80]}"))
        return
    got = run("index", path, code=(0, 3)).decode().splitlines()
    want = out.getvalue().splitlines()
    for mine, his in zip(got, want):
        assert mine == his, f"index\n  ours   {mine}\n  theirs {his}"
    assert len(got) == len(want), f"{len(got)} index lines, cdxj-indexer has {len(want)}"


def read_back(path):
    """type, URL and block of every record; a folded field's blanks are the writer's matter"""
    with open(path, "rb") as f:
        return [(r.rec_type.strip(), (r.rec_headers.get_header("WARC-Target-URI") or "").replace("%20", " ").strip(),
                 r.raw_stream.read()) for r in ArchiveIterator(f, no_record_parse=True)]


def compare_recompressed(path):
    with tempfile.TemporaryDirectory() as folder:
        for end in (".warc.gz", ".warc"):
            out = os.path.join(folder, "out" + end)
            run("recompress", path, out)
            after, before = read_back(out), read_back(path)
            if path.endswith((".arc", ".arc.gz")):
                assert [b[2] for b in after][1:] == [b[2] for b in before][1:], "bodies differ once repacked"
            else:
                assert after == before, "records differ once repacked"


for path in paths:
    try:
        whole = compare_records(path)
        compare_fastwarc(path) if whole else None
        if whole and os.path.basename(path) not in KNOWN:
            compare_index(path)
        compare_recompressed(path) if whole else None
        compared += whole
    except AssertionError as error:
        failed.append((path, str(error)))
for path, why in refused:
    print(f"refused: {os.path.basename(path)}: {why}")
for path, why in failed:
    print(f"FAILED: {os.path.basename(path)}: {why}")
print(f"{compared} compared, {len(refused)} refused by others, {len(failed)} failed")
sys.exit(1 if failed else 0)
