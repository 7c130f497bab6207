#!/usr/bin/env bash
# `sluice tokenize`: every verb on a vocabulary trained here, which therefore is the same everywhere.
. "$(dirname "$0")/common.sh"
cd "$work"
python3 - > docs.jsonl <<'PY' || { skip tokenize "no python3 to make documents"; finish; }
import json, random
draw = random.Random(3)
words = "the web wash keep gold train model token page crawl text data filter Straße мир 日本語 12345 don't".split()
for i in range(400):
    text = " ".join(draw.choice(words) for _ in range(draw.randrange(1, 200))) + "\n" * draw.randrange(3)
    print(json.dumps({"id": i if i % 2 else f"n{i}", "text": text}, ensure_ascii=bool(i % 3)))
print(json.dumps({"id": "special", "text": "a <|endoftext|> b"}))
PY
tok() { "$sluice" tokenize "$@"; }
check tokenize_train tok train --out=tok --vocab_size=300 --jsonl docs.jsonl
check tokenize_train_reads_packed_lines bash -c "gzip -k docs.jsonl && '$sluice' tokenize train --out=tok2 --vocab_size=300 --jsonl docs.jsonl.gz && cmp tok/tokenizer.json tok2/tokenizer.json"
tok encode --tokenizer=tok --jsonl --threads=1 docs.jsonl > one.jsonl 2> err
for threads in 2 5; do
    check "tokenize_encode_threads_$threads" bash -c "'$sluice' tokenize encode --tokenizer=tok --jsonl --threads=$threads docs.jsonl | cmp - one.jsonl"
done
check tokenize_encode_keeps_ids python3 -c "
import json
a = [json.loads(line)['id'] for line in open('docs.jsonl')]
b = [json.loads(line)['id'] for line in open('one.jsonl')]
assert a == b"
check tokenize_decode_gives_the_text_back bash -c "'$sluice' tokenize decode --tokenizer=tok --jsonl one.jsonl > back.jsonl && python3 -c \"
import json
a = [json.loads(line)['text'] for line in open('docs.jsonl')]
b = [json.loads(line)['text'] for line in open('back.jsonl')]
assert a == b and len(a) == 401\""
check tokenize_both_files_agree bash -c "'$sluice' tokenize encode --tokenizer=tok/tokenizer.tiktoken --jsonl docs.jsonl | cmp - one.jsonl"
check tokenize_text_is_text bash -c "[ \"\$('$sluice' tokenize encode --tokenizer=tok --json <<< '<|endoftext|>' | tr ',' '\n' | grep -c 299)\" = 0 ]"
check tokenize_special_when_asked bash -c "'$sluice' tokenize encode --tokenizer=tok --json --special <<< 'a<|endoftext|>' | grep -q ',299,'"
check tokenize_special_decodes bash -c "[ \"\$(echo '299 97' | '$sluice' tokenize decode --tokenizer=tok)\" = 'a' ] && [ \"\$(echo '299 97' | '$sluice' tokenize decode --tokenizer=tok --special)\" = '<|endoftext|>a' ]"
check tokenize_count bash -c "'$sluice' tokenize count --tokenizer=tok --jsonl --json docs.jsonl | python3 -c \"
import json, sys
n = json.load(sys.stdin)
rows = [json.loads(line)['tokens'] for line in open('one.jsonl')]
assert n['documents'] == len(rows) == 401 and n['tokens'] == sum(map(len, rows)), n\""
check tokenize_max_tokens bash -c "'$sluice' tokenize encode --tokenizer=tok --jsonl --max_tokens=2 docs.jsonl | python3 -c \"
import json, sys
for line, whole in zip(sys.stdin, open('one.jsonl')):
    assert json.loads(line)['tokens'] == json.loads(whole)['tokens'][:2]\""
check tokenize_compare bash -c "'$sluice' tokenize compare --jsonl --json --tokenizer=tok,tok2 docs.jsonl | python3 -c \"
import json, sys
r = json.load(sys.stdin)
rows = [json.loads(line)['tokens'] for line in open('one.jsonl')]
assert [t['vocab'] for t in r['tokenizers']] == [300, 300] and len(r['groups']) == 1
g = r['groups'][0]
assert g['documents'] == 401 and g['tokens'] == [sum(map(len, rows))] * 2 and g['domain'] == 'docs.jsonl', g
assert all(abs(b - g['bytes'] / t) < 1e-9 for b, t in zip(g['bytes_per_token'], g['tokens'])) and g['bytes_per_token'][0] > 1\""
cp -r tok 'say "tok"'
tok compare --jsonl --json --tokenizer='say "tok"' docs.jsonl > quoted.json
check tokenize_compare_quotes_paths python3 -c "import json; assert json.load(open('quoted.json'))['tokenizers'][0]['path'] == 'say \x22tok\x22'"
# Domains and languages: a row each, the words as Python's \w+ has them where scripts have blanks.
python3 - > kinds.jsonl <<'PY'
import json, random
draw = random.Random(5)
texts = {"en": "the cat sat on a mat and looked at 12 dogs".split(), "de": "die Straße führt über den Fluß nach Haus".split(),
         "ru": "кот сидит на окне и смотрит на улицу".split()}
for i in range(900):
    lang = ("en", "de", "ru")[i % 3]
    line = {"text": " ".join(draw.choice(texts[lang]) for _ in range(60)), "metadata": {"lang": lang}}
    if i % 2:
        line["domain"] = "talk"
    print(json.dumps(line))
PY
check tokenize_compare_groups bash -c "'$sluice' tokenize compare --jsonl --json --by=domain+lang --threads=3 --tokenizer=tok kinds.jsonl | python3 -c \"
import json, re, sys
want = {}
for line in map(json.loads, open('kinds.jsonl')):
    g = want.setdefault((line.get('domain', 'kinds.jsonl'), line['metadata']['lang']), [0, 0, 0, 0])
    for i, n in enumerate((1, len(line['text'].encode()), len(line['text']), len(re.findall(r'\\w+', line['text'])))):
        g[i] += n
r = json.load(sys.stdin)
got = {(g['domain'], g['lang']): [g['documents'], g['bytes'], g['characters'], g['words']] for g in r['groups']}
assert got == want and list(got) == sorted(got), got
assert r['all']['documents'] == 900 and r['all']['tokens'][0] == sum(g['tokens'][0] for g in r['groups'])\""
check tokenize_compare_by_lang bash -c "[ \"\$('$sluice' tokenize compare --jsonl --by=lang --tokenizer=tok kinds.jsonl | grep -c ' de ')\" = 2 ]"
# Training: the same files for any threads and order of lines, held-out text apart.
train() { tok train --vocab_size=600 --jsonl "$@" > table 2> err; }
check tokenize_train_again train --out=t1 --threads=1 kinds.jsonl docs.jsonl
tac kinds.jsonl > turned.jsonl
for way in "--threads=2 kinds.jsonl docs.jsonl" "--threads=5 docs.jsonl turned.jsonl"; do
    # shellcheck disable=SC2086
    check "tokenize_train_same_bytes: $way" bash -c "'$sluice' tokenize train --vocab_size=600 --jsonl --out=t2 $way > table2 2> err && cmp t1/tokenizer.json t2/tokenizer.json && cmp t1/tokenizer.tiktoken t2/tokenizer.tiktoken"
done
check tokenize_train_report python3 -c "
import json
r = json.load(open('t1/report.json'))
h = r['held_out']
assert r['trained_documents'] + r['held_out_documents'] == 1301 and 0 < r['held_out_documents'] < 60, r
assert h['all']['documents'] == r['held_out_documents'] == r['measured_documents']
assert {g['lang'] for g in h['groups']} <= {'', 'en', 'de', 'ru'} and 300 < h['tokenizers'][0]['vocab'] <= 600
assert all(g['bytes_per_token'][0] > 2 for g in h['groups'] if g['lang'] == 'en')"
check tokenize_train_beside_others bash -c "'$sluice' tokenize train --vocab_size=400 --out=t3 --compare=tok,t1 --held_out=0.1 --json --jsonl kinds.jsonl 2> err | python3 -c \"
import json, sys
r = json.load(sys.stdin)['held_out']
assert [t['path'] for t in r['tokenizers']] == ['t3', 'tok', 't1'] and len(r['all']['tokens_per_word']) == 3\""
check tokenize_train_weights bash -c "'$sluice' tokenize train --vocab_size=600 --held_out=0 --out=w1 --weight=talk=3,docs.jsonl=0 --jsonl kinds.jsonl docs.jsonl > table 2> err &&
    python3 -c \"
import json
for line in open('kinds.jsonl'):
    print(line * (3 if 'domain' in json.loads(line) else 1), end='')\" > thrice.jsonl &&
    '$sluice' tokenize train --vocab_size=600 --held_out=0 --out=w2 --jsonl thrice.jsonl > table 2> err && cmp w1/tokenizer.json w2/tokenizer.json && ! cmp -s w1/tokenizer.json t1/tokenizer.json"
check tokenize_train_specials bash -c "'$sluice' tokenize train --vocab_size=300 --out=sp '--special_tokens=<|im_start|>,<|im_end|>' --jsonl kinds.jsonl > table 2> err && [ \"\$('$sluice' tokenize encode --tokenizer=sp --json --special <<< '<|im_end|>')\" = '[299,10]' ]"
check tokenize_train_digits bash -c "'$sluice' tokenize train --vocab_size=300 --out=dg --digits=1 --jsonl docs.jsonl > table 2> err && '$sluice' tokenize inspect --tokenizer=dg | grep -q 'qwen2' && '$sluice' tokenize inspect --tokenizer=dg --text='12345' | grep -q '^5 tokens'"
# Plain text is read in parts; the vocabulary is that of the whole as one text.
python3 - <<'PY'
import json, random
draw = random.Random(7)
words = "the web wash keep gold train model token page crawl text data filter Straße мир 日本語。 12345 don't a/b //".split()
text = "".join(draw.choice(words) + draw.choice([" "] * 8 + ["\n", "\n", " \n", "\n\n", "\r\n", "\n/", "\n\u3000"]) for _ in range(120000))
open("plain.txt", "w", newline="").write(text)
open("plain.jsonl", "w").write(json.dumps({"text": text}))
PY
for pretok in cl100k gpt2 o200k deepseek-v3; do
    check "tokenize_train_in_parts_$pretok" bash -c "for kind in txt jsonl; do '$sluice' tokenize train --vocab_size=500 --held_out=0 --pretok=$pretok --out=p-\$kind \$([ \$kind = jsonl ] && echo --jsonl) plain.\$kind > table 2> err || exit 1; done; cmp p-txt/tokenizer.json p-jsonl/tokenizer.json"
done
# A line without end, of one letter and of noise, and nothing at all: bounded memory, a vocabulary of bytes.
check tokenize_train_endless_line python3 -c "
import resource, subprocess
feed = subprocess.Popen('head -c 400000000 /dev/zero | tr \\\\0 x', shell=True, stdout=subprocess.PIPE)
subprocess.run(['$sluice', 'tokenize', 'train', '--threads=2', '--memory=200M', '--vocab_size=300', '--out=e1', '-'], stdin=feed.stdout, check=True)
assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 100 << 10, resource.getrusage(resource.RUSAGE_CHILDREN)"
check tokenize_train_endless_line_teaches_nothing bash -c "'$sluice' tokenize inspect --tokenizer=e1 | grep -q '257 ids'"
check tokenize_train_noise bash -c "head -c 5000000 docs.jsonl.gz /dev/urandom | '$sluice' tokenize train --memory=300M --vocab_size=300 --out=e2 - > table 2> err && '$sluice' tokenize inspect --tokenizer=e2 | grep -q '300 ids'"
check tokenize_train_stops python3 -c "
import signal, subprocess, time
feed = subprocess.Popen(['yes', 'one two three'], stdout=subprocess.PIPE)
train = subprocess.Popen(['$sluice', 'tokenize', 'train', '--out=e4', '-'], stdin=feed.stdout)
time.sleep(1)
train.send_signal(signal.SIGINT)
assert train.wait(timeout=30) == 130
feed.kill()"
check tokenize_train_nothing bash -c "'$sluice' tokenize train --vocab_size=300 --out=e3 - < /dev/null > table 2> err && grep -q 'no more pairs' err && '$sluice' tokenize inspect --tokenizer=e3 | grep -q '257 ids'"
check tokenize_inspect bash -c "'$sluice' tokenize inspect --tokenizer=tok | grep -q 'cl100k' && '$sluice' tokenize inspect --tokenizer=tok --text='the web' | grep -q ' web'"
# Every format there and back: the same ids for the same lines.
for end in gguf json tiktoken; do
    check "tokenize_convert_$end" bash -c "'$sluice' tokenize convert tok/tokenizer.json to.$end 2> err && '$sluice' tokenize convert to.$end back-$end --pattern=cl100k 2> err &&
        '$sluice' tokenize encode --tokenizer=to.$end --jsonl docs.jsonl | cmp - one.jsonl && '$sluice' tokenize encode --tokenizer=back-$end --jsonl docs.jsonl | cmp - one.jsonl"
done
check tokenize_train_writes_configuration python3 -c "
import json
config = json.load(open('tok/tokenizer_config.json'))
assert config['eos_token'] == json.load(open('tok/special_tokens_map.json'))['eos_token'] == '<|endoftext|>'
assert config['added_tokens_decoder']['299']['special']
config['chat_template'] = '{{ messages }}'
json.dump(config, open('tok2/tokenizer_config.json', 'w'))"
check tokenize_convert_carries_the_template bash -c "'$sluice' tokenize convert tok2 chat.gguf 2> err && '$sluice' tokenize convert chat.gguf chat 2> err && grep -q '{{ messages }}' chat/tokenizer_config.json && '$sluice' tokenize inspect --tokenizer=chat | grep -q 'chat template 14 bytes'"
fails tokenize_no_verb 2 'train, encode' tok
fails tokenize_wrong_verb 2 'there is no "incode"' tok incode
fails tokenize_no_tokenizer 2 'name a tokenizer' tok encode docs.jsonl
fails tokenize_convert_two_names 2 'IN OUT' tok convert tok
head -c 5000 to.gguf > cut.gguf
fails tokenize_gguf_cut 3 'byte [0-9]+.*cut short or damaged' tok inspect --tokenizer=cut.gguf
printf '\n\016\n\005<unk>\025\000\000\000\000\030\002\n\014\n\003<s>\025\000\000\000\000\030\003\n\015\n\004</s>\025\000\000\000\000\030\003' > spm.model
fails tokenize_sentencepiece 3 'sentencepiece' tok inspect --tokenizer=spm.model
fails tokenize_no_pattern 2 'no pattern "gpt5"' tok encode --tokenizer=tok --pattern=gpt5 docs.jsonl
echo '{"text": 3}' > bad.jsonl
fails tokenize_train_no_folder 2 'name a folder' tok train kinds.jsonl
fails tokenize_train_weight_of_nobody 2 'names "nobody"' tok train --out=x --weight=nobody=2 --jsonl kinds.jsonl
fails tokenize_train_weight_no_number 2 'NAME=WEIGHT' tok train --out=x --weight=talk --jsonl kinds.jsonl
fails tokenize_train_no_such_digits 2 'any number' tok train --out=x --pretok=gpt2 --digits=1 --jsonl kinds.jsonl
fails tokenize_train_special_twice 2 'given twice' tok train --out=x '--special_tokens=<a>,<a>' --jsonl kinds.jsonl
fails tokenize_train_compare_missing 2 'nowhere' tok train --out=x --compare=nowhere.json --jsonl kinds.jsonl
fails tokenize_train_memory_too_small 1 'memory' tok train --out=x --memory=16M --jsonl kinds.jsonl
fails tokenize_compare_nothing 2 'name tokenizers' tok compare docs.jsonl
fails tokenize_bad_line 3 'bad.jsonl: line 1.*no string "text"' tok encode --tokenizer=tok --jsonl bad.jsonl
printf '{"text":"a"}\n{"text":' > cut.jsonl
fails tokenize_cut_line 3 'cut.jsonl: line 2' tok encode --tokenizer=tok --jsonl cut.jsonl
echo '12 99999999 3' > ids
fails tokenize_bad_id 3 '99999999 at byte 3 is no id' tok decode --tokenizer=tok ids
printf '{"text":"a"}\n' > "$work/lines.jsonl"
check tokenize_says_when_lines_are_one_text bash -c "cd '$work' && '$sluice' tokenize train --vocab-size=260 --out=lines lines.jsonl 2> said; grep -q 'lines.jsonl is read as one text.*--jsonl' said && ! '$sluice' tokenize train --vocab-size=260 --out=lines2 --jsonl lines.jsonl 2>&1 | grep -q 'as one text'"
finish
