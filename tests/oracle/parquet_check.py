#!/usr/bin/env python3
"""parquet_check - other programs read what sluice wrote, and write what sluice must read.

    parquet_check.py check FILE ROWS   pyarrow and DuckDB agree with the rows of test_core_parquet.c
    parquet_check.py make DIR ROWS       writes DIR/*.parquet in several dialects

Exits with 77 when a module is not installed.
"""
import sys

try:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as missing:
    print(missing)
    sys.exit(77)

LANGS = ("en", "de", "\u4e2d\u6587", "")


def row(i):
    return {
        "id": i * 0x9E3779B97F4A7C15 % 2**64,
        "count": i * 2654435761 % 2**32,
        "score": None if i % 7 == 3 else (i % 1000) / 8 - 50,
        "url": f"https://example.com/\u00e9/{i}",
        "lang": None if i % 11 == 5 else LANGS[i // 100 % 4],
        "flag": None if i % 5 == 0 else i % 3 == 0,
    }


SCHEMA = pa.schema([("id", pa.uint64()), ("count", pa.uint32()), ("score", pa.float32()),
                    ("url", pa.string()), ("lang", pa.string()), ("flag", pa.bool_())])


def table(count):
    return pa.Table.from_pylist([row(i) for i in range(count)], schema=SCHEMA)


def check(path, count):
    want = table(count)
    file = pq.ParquetFile(path, page_checksum_verification=True)
    got = file.read()
    assert got.schema.types == SCHEMA.types, got.schema
    assert got.schema.names == SCHEMA.names, got.schema
    assert got.to_pylist() == want.to_pylist()
    meta = file.metadata
    assert meta.created_by.startswith("sluice "), meta.created_by
    assert meta.metadata[b"key"] == b"value \xc3\xa9", meta.metadata
    start = 0
    for group in range(meta.num_row_groups):
        rows = meta.row_group(group).num_rows
        part = want.slice(start, rows).to_pydict()
        start += rows
        for column in range(meta.num_columns):
            chunk = meta.row_group(group).column(column)
            values = [v for v in part[chunk.path_in_schema] if v is not None]
            stats = chunk.statistics
            assert chunk.compression == "ZSTD"
            assert stats.null_count == rows - len(values), chunk
            assert (stats.min, stats.max) == (min(values), max(values)), chunk
            has_dictionary = "RLE_DICTIONARY" in chunk.encodings
            assert has_dictionary == (chunk.path_in_schema == "lang"), chunk
    assert start == count
    seen = duckdb.sql(f"select * from read_parquet('{path}')").fetchall()
    assert seen == [tuple(r.values()) for r in want.to_pylist()]
    kinds = duckdb.sql(f"select typeof(columns(*)) from read_parquet('{path}') limit 1").fetchall()
    assert kinds[0] == ("UBIGINT", "UINTEGER", "FLOAT", "VARCHAR", "VARCHAR", "BOOLEAN"), kinds
    few = duckdb.sql(f"select count(*) from read_parquet('{path}') where count > 4000000000")
    assert few.fetchall()[0][0] == sum(c > 4000000000 for c in want["count"].to_pylist())


WORDS = ("the river and its people were of a kind that have been with us for as long as anyone of "
         "the town could remember").split()


def text(seed):
    """Lines of words, all different: what tests/cli/own.sh makes as well."""
    lines = []
    for _ in range(12):
        seed = (seed * 1103515245 + 12345) % 2147483648
        words = []
        for k in range(18):
            end = "" if (seed >> 4) + k & 3 else chr(97 + (seed >> k) % 26) + "ing"
            words.append(WORDS[(seed >> 8) * (k + 3) // 7 % len(WORDS)] + end)
        lines.append(" ".join(words).capitalize() + ".")
    return "\n".join(lines)


def make_web(path, count):
    """Pages as FineWeb has them: its columns, several row groups, a page without an address."""
    rows = [{"text": text(i + 1), "id": f"<urn:uuid:{i}>", "dump": "CC-MAIN-2024-10",
             "url": None if i % 10 == 9 else f"https://example.com/{i}",
             "date": "2024-02-20T21:24:01Z", "file_path": "s3://x", "language": "en",
             "language_score": 0.9, "token_count": i} for i in range(count)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=count // 3 + 1,
                   data_page_size=4096, write_batch_size=8,
                   compression="zstd")


def make(folder, count):
    data = table(count)
    for name, options in {
        "snappy": {"compression": "snappy"},
        "gzip": {"compression": "gzip", "use_dictionary": False},
        "zstd_v2": {"compression": "zstd", "data_page_version": "2.0"},
        "none_small": {"compression": "none", "data_page_size": 1000, "row_group_size": 777},
        "crc": {"compression": "zstd", "write_page_checksum": True},
    }.items():
        pq.write_table(data, f"{folder}/{name}.parquet", **options)
    duckdb.sql(f"copy data to '{folder}/duckdb.parquet' (format parquet, compression zstd)")
    nested = pa.table({"id": data["id"], "list": [[i, 1] for i in range(count)],
                       "struct": [{"a": i, "b": {"c": "x"}} for i in range(count)],
                       "double": [i / 4 for i in range(count)],
                       "signed": [-i for i in range(count)], "url": data["url"],
                       "when": pa.array([0] * count, pa.timestamp("us"))})
    pq.write_table(nested, f"{folder}/nested.parquet")
    make_web(f"{folder}/web.parquet", min(count, 40))
    pq.write_table(data, f"{folder}/delta.parquet", use_dictionary=False, data_page_size=3000,
                   column_encoding={"id": "DELTA_BINARY_PACKED", "count": "DELTA_BINARY_PACKED",
                                    "url": "DELTA_BYTE_ARRAY", "lang": "DELTA_LENGTH_BYTE_ARRAY"})
    split = pa.table({"score": data["score"]})
    pq.write_table(split, f"{folder}/split.parquet", use_dictionary=False,
                   column_encoding={"score": "BYTE_STREAM_SPLIT"})


if sys.argv[1] == "check":
    check(sys.argv[2], int(sys.argv[3]))
else:
    make(sys.argv[2], int(sys.argv[3]))
