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
a, b = json.load(sys.stdin)
assert a['vocab'] == b['vocab'] == 300 and a['files'] == b['files'] and a['bytes_per_token'] > 1\""
cp -r tok 'say "tok"'
tok compare --jsonl --json --tokenizer='say "tok"' docs.jsonl > quoted.json
check tokenize_compare_quotes_paths python3 -c "import json; assert json.load(open('quoted.json'))[0]['tokenizer'] == 'say \x22tok\x22'"
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
fails() { # NAME CODE PATTERN COMMAND...
    local name=$1 code=$2 pattern=$3; shift 3
    "$@" > out 2> err < /dev/null; local rc=$?
    if [ $rc = "$code" ] && grep -Eq "$pattern" err; then ok "$name"; else bad "$name" "exit $rc: $(tail -n 2 err)"; fi
}
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
fails tokenize_bad_line 3 'bad.jsonl: line 1.*no string "text"' tok encode --tokenizer=tok --jsonl bad.jsonl
printf '{"text":"a"}\n{"text":' > cut.jsonl
fails tokenize_cut_line 3 'cut.jsonl: line 2' tok encode --tokenizer=tok --jsonl cut.jsonl
echo '12 99999999 3' > ids
fails tokenize_bad_id 3 '99999999 at byte 3 is no id' tok decode --tokenizer=tok ids
finish
