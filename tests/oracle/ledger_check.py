#!/usr/bin/env python3
"""pyarrow and DuckDB open the ledger, agree with each other, and every record is kept, held out or dropped for a rule.

    ledger_check.py RUN
"""
import glob, json, sys
import duckdb
import pyarrow.parquet as pq

run = sys.argv[1]
files = sorted(glob.glob(f"{run}/ledger/*.parquet"))
rows = sum(pq.read_table(f).num_rows for f in files)
sql = lambda q: duckdb.sql(q.replace("LEDGER", f"'{run}/ledger/*.parquet'")).fetchall()
assert sql("select count(*) from LEDGER")[0][0] == rows > 0
verdicts = dict(sql("select verdict, count(*) from LEDGER group by 1"))
assert set(verdicts) == {"kept", "dropped", "heldout"} and sum(verdicts.values()) == rows, verdicts
assert sql("select count(*) from LEDGER where (verdict = 'dropped') <> (rule <> '')")[0][0] == 0
assert sql("select count(*) from (select distinct source, record from LEDGER)")[0][0] == rows
tokens = sql("select sum(tokens) from LEDGER where verdict = 'kept'")[0][0]
store = json.load(open(f"{run}/store.json"))
documents = sum(d["documents"] for d in store["domains"])
assert documents == verdicts["kept"], (documents, verdicts)
assert store["tokens"] == tokens + documents, (store["tokens"], tokens, documents)   # one <|endoftext|> a document
table = pq.read_table(files[0])
for column in ("value", "signal.gopher_quality.words"):
    assert column in table.column_names, table.column_names
print(f"{rows} rows, {verdicts}")
