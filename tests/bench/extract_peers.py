#!/usr/bin/env python3
"""extract_peers - one other tool over all pages, in a process of its own: its texts, CPU time and memory.

    extract_peers.py PEER PAGES.warc.gz WHEELS REPEAT    one JSON object on standard output

Called by extract_bench.py. Pages are in memory and decoded before the clock starts; what is timed is from HTML to
the text that is scored. A page on which the tool raises counts as empty and is counted as failed.
"""
import contextlib, ctypes, glob, gzip, importlib.metadata, importlib.util, json, os, re, subprocess, sys, tempfile, time, zipfile

os.environ.update(RAYON_NUM_THREADS="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

def records(path):
    """(url, html) of the responses of a WARC file, read without anybody's reader."""
    out, data, at = [], gzip.open(path).read(), 0
    while at < len(data):
        head_end = data.index(b"\r\n\r\n", at)
        head = data[at:head_end].decode("latin-1")
        size = int(re.search(r"(?im)^content-length:\s*(\d+)", head)[1])
        block = data[head_end + 4:head_end + 4 + size]
        if re.search(r"(?im)^warc-type:\s*response", head):
            url = re.search(r"(?im)^warc-target-uri:\s*<?([^\s>]+)", head)[1]
            out.append((url, block[block.index(b"\r\n\r\n") + 4:].decode("utf-8", "replace")))
        at = head_end + 4 + size + 4
    return out

def text_of(html):
    """The text of an HTML fragment, a line a block: for tools whose answer is HTML."""
    import lxml.html
    if not html:
        return ""
    inline = {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "kbd", "mark", "q", "s", "samp",
              "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"}
    out = []
    for event, element in lxml.etree.iterwalk(lxml.html.fromstring(html), events=("start", "end", "comment", "pi")):
        block = not isinstance(element.tag, str) or element.tag not in inline
        out.append(" \n"[block])
        if event == "start" and isinstance(element.tag, str):
            out.append(element.text or "")
        elif event != "start":
            out.append(element.tail or "")
        if not block and out[-2] == " ":
            out[-2] = ""
    return "".join(out)

# ---- the tools: each returns the function (html, url) -> text, after its imports ----

def resiliparse():
    from resiliparse.extract.html2text import extract_plain_text
    return lambda html, url: extract_plain_text(html, main_content=True)

def trafilatura(**options):
    import trafilatura as tool
    return lambda html, url: tool.extract(html, **options)

def rs_trafilatura_core(wheels):
    """Its module: as installed, else out of its wheel for CPython 3.12, with the two calls that 3.11 lacks."""
    if importlib.util.find_spec("rs_trafilatura"):
        import rs_trafilatura as tool
        return tool, ""
    wheel = max(glob.glob(f"{wheels}/rs_trafilatura-*.whl"), default=None)
    if not wheel:
        raise ImportError("rs_trafilatura has no wheel for this Python")
    folder = tempfile.mkdtemp(prefix="rs-trafilatura-")
    with zipfile.ZipFile(wheel) as zipped:
        name = next(n for n in zipped.namelist() if n.endswith(".so"))
        zipped.extract(name, folder)
    if sys.version_info < (3, 12):
        with open(f"{folder}/calls.c", "w") as out:
            out.write(CALLS)
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", f"{folder}/calls.so", f"{folder}/calls.c"], check=True)
        ctypes.CDLL(f"{folder}/calls.so", ctypes.RTLD_GLOBAL)
    loader = importlib.machinery.ExtensionFileLoader("rs_trafilatura._core", f"{folder}/{name}")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("rs_trafilatura._core", loader))
    loader.exec_module(module)
    return module, os.path.basename(wheel).split("-")[1]

CALLS = """
typedef struct object object;
void PyErr_Fetch(object **, object **, object **);
void PyErr_NormalizeException(object **, object **, object **);
void PyErr_Restore(object *, object *, object *);
int PyException_SetTraceback(object *, object *);
object *PyException_GetTraceback(object *), *PyObject_Type(object *);
void Py_DecRef(object *);
object *PyErr_GetRaisedException(void)
{
    object *kind, *value, *trace;
    PyErr_Fetch(&kind, &value, &trace);
    if (!kind)
        return 0;
    PyErr_NormalizeException(&kind, &value, &trace);
    if (trace)
        PyException_SetTraceback(value, trace);
    Py_DecRef(kind), Py_DecRef(trace);
    return value;
}
void PyErr_SetRaisedException(object *value)
{
    PyErr_Restore(PyObject_Type(value), value, PyException_GetTraceback(value));
}
"""

def rs_trafilatura():
    tool, _ = rs_trafilatura_core(WHEELS)
    return lambda html, url: tool.extract(html, url=url).main_content

def readability():
    import logging
    from readability import Document
    logging.disable(logging.CRITICAL)
    return lambda html, url: text_of(Document(html, url=url).summary())

def justext():
    import justext as tool
    stop = tool.get_stoplist("English")
    return lambda html, url: "\n".join(p.text for p in tool.justext(html.encode(), stop, encoding="utf-8") if not p.is_boilerplate)

def magic_html():
    from magic_html import GeneralExtractor
    tool = GeneralExtractor()
    return lambda html, url: text_of(tool.extract(html, base_url=url)["html"])

def newspaper():
    import newspaper as tool
    def one(html, url):
        article = tool.Article(url, fetch_images=False)
        article.download(input_html=html)
        article.parse()
        return article.text
    return one

def goose():
    from goose3 import Goose
    tool = Goose({"enable_image_fetching": False})
    return lambda html, url: tool.extract(raw_html=html).cleaned_text

def boilerpy():
    from boilerpy3 import extractors
    tool = extractors.ArticleExtractor(raise_on_failure=False)
    return lambda html, url: tool.get_content(html)

def inscriptis():
    from inscriptis import get_text
    return lambda html, url: get_text(html)

# ---- readers of archives: CPU seconds of going through the file, bodies not looked at ----

def fastwarc(path):
    from fastwarc.warc import ArchiveIterator
    return sum(1 for _ in ArchiveIterator(path, parse_http=False))

def warcio(path):
    from warcio.archiveiterator import ArchiveIterator
    with open(path, "rb") as file:
        return sum(1 for _ in ArchiveIterator(file, no_record_parse=True))

# name -> package, function, repeated for its time
PEERS = {
    "resiliparse": ("resiliparse", resiliparse, True),
    "trafilatura": ("trafilatura", trafilatura, True),
    "trafilatura fast": ("trafilatura", lambda: trafilatura(fast=True), True),
    "trafilatura precision": ("trafilatura", lambda: trafilatura(favor_precision=True), False),
    "trafilatura recall": ("trafilatura", lambda: trafilatura(favor_recall=True), False),
    "rs-trafilatura": ("rs-trafilatura", rs_trafilatura, True),
    "readability-lxml": ("readability-lxml", readability, False),
    "justext": ("justext", justext, False),
    "magic-html": ("magic-html", magic_html, False),
    "newspaper4k": ("newspaper4k", newspaper, False),
    "goose3": ("goose3", goose, False),
    "boilerpy3": ("boilerpy3", boilerpy, False),
    "inscriptis": ("inscriptis", inscriptis, False),
}
READERS = {"fastwarc": fastwarc, "warcio": warcio}

def version(package, wheels):
    """The installed version, or that of the wheel kept beside; None when there is neither."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    wheel = max(glob.glob(f"{wheels}/{package.replace('-', '_')}-*.whl"), default=None)
    return os.path.basename(wheel).split("-")[1] if wheel else None

def memory_kib(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))

def run(name, path, repeat):
    pages = records(path)
    one = PEERS[name][1]()
    texts, failed, best = {}, 0, float("inf")
    with contextlib.suppress(Exception):
        one("<html><body><p>What is loaded at first use is loaded now.</p></body></html>", "http://localhost/")
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = memory_kib("VmRSS")
    for _ in range(repeat):
        failed, cpu = 0, time.process_time()
        for url, html in pages:
            try:
                texts[url] = one(html, url) or ""
            except Exception:
                texts[url], failed = "", failed + 1
        best = min(best, time.process_time() - cpu)
    peak = memory_kib("VmHWM") - before - sum(len(text.encode()) for text in texts.values()) // 1024
    return {"cpu": best, "failed": failed, "peak_kib": max(0, peak), "texts": texts}

def read(name, path, repeat):
    best = float("inf")
    for _ in range(repeat):
        cpu = time.process_time()
        count = READERS[name](path)
        best = min(best, time.process_time() - cpu)
    return {"cpu": best, "records": count}

if __name__ == "__main__":
    name, path, WHEELS, repeat = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    keep, sys.stdout = sys.stdout, sys.stderr  # what a tool prints is not our answer
    try:
        answer = (read if name in READERS else run)(name, path, repeat)
    except ImportError as missing:
        answer = {"missing": str(missing)}
    json.dump(answer, keep)
    keep.flush()
    os._exit(0)  # no destructors of a module loaded into another Python
