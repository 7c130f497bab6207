/* cmd_tokenize - `sluice tokenize train|encode|decode|count|compare|inspect|convert`: vocabularies
 * at work. */
#include "command/command.h"
#include "command/token_lines.h"
#include "command/tokenize_verbs.h"
#include "core/err.h"
#include "core/log.h"
#include "core/pool.h"

#include <stdlib.h>

enum { TEXT_ARENA = 2047 << 20 };

static const struct opt token_opts[] = {
    OPT_ROW(
        OPT_STR, struct token_flags, tokenizer, NULL, 0, 0, NULL,
        "tokenizer.json, .tiktoken, .gguf, encoder.json beside vocab.bpe, or a folder with one; "
        "compare: several, with commas",
        NULL),
    OPT_ROW(OPT_STR, struct token_flags, pattern, NULL, 0, 0, NULL,
            "how text is split, for .tiktoken files, which do not say: gpt2, cl100k, o200k, qwen2, "
            "deepseek-v3; else by their size",
            NULL),
    OPT_ROW(OPT_BOOL, struct token_flags, jsonl, "false", 0, 1, NULL,
            "input is JSON lines or Parquet, output JSON lines", NULL),
    OPT_ROW(OPT_STR, struct token_flags, field, "text", 0, 0, NULL,
            "the member of a JSON line that holds the text", NULL),
    OPT_ROW(OPT_BOOL, struct token_flags, json, "false", 0, 1, NULL,
            "encode: one JSON list; count, compare, inspect: one JSON object", NULL),
    OPT_ROW(OPT_BOOL, struct token_flags, special, "false", 0, 1, NULL,
            "encode: added tokens in the text (<|endoftext|>) become their ids; decode: they are "
            "printed",
            NULL),
    OPT_ROW(OPT_INT, struct token_flags, max_tokens, "0", 0, 1e12, "tokens",
            "encode: keep so many of a text; 0: all", NULL),
    OPT_ROW(OPT_STR, struct token_flags, text, NULL, 0, 0, NULL,
            "inspect: show the tokens of this text", NULL),
    OPT_ROW(OPT_STR, struct token_flags, domain_field, "domain", 0, 0, NULL,
            "train, compare: the member of a JSON line that names its domain; the first of several "
            "with commas; a line without counts for its file",
            NULL),
    OPT_ROW(OPT_STR, struct token_flags, lang_field, "lang,language,metadata.lang", 0, 0, NULL,
            "train, compare: the member that names its language", NULL),
    OPT_ROW(OPT_ENUM, struct token_flags, by, "file", 0, 0, "file|domain|lang|domain+lang",
            "compare: what makes a row", NULL),
    OPT_ROW(OPT_STR, struct token_flags, out, NULL, 0, 0, NULL,
            "train: folder for tokenizer.json, tokenizer.tiktoken and report.json", NULL),
    OPT_ROW(OPT_INT, struct token_flags, vocab_size, "32768", 257, 1000000, "tokens",
            "train: size of the vocabulary, <|endoftext|> and special tokens included", NULL),
    OPT_ROW(OPT_ENUM, struct token_flags, pretok, "cl100k", 0, 0,
            "gpt2|cl100k|o200k|qwen2|deepseek-v3", "train: how text is split before merging", NULL),
    OPT_ROW(OPT_ENUM, struct token_flags, digits, "pattern", 0, 0, "pattern|1|1-3|any",
            "train: how many digits may share a token; pattern: as --pretok has it", NULL),
    OPT_ROW(OPT_INT, struct token_flags, pair_min, "2", 1, 1e12, "times",
            "train: a pair seen less often is not merged", NULL),
    OPT_ROW(OPT_INT, struct token_flags, piece_min, "1", 1, 1e12, "times",
            "train: words seen less often are not learned from", NULL),
    OPT_ROW(OPT_LIST, struct token_flags, special_tokens, NULL, 0, 0, NULL,
            "train: added tokens behind <|endoftext|>, in this order", NULL),
    OPT_ROW(OPT_LIST, struct token_flags, weight, NULL, 0, 0, NULL,
            "train: NAME=W: texts of this domain or file count W times; others once; 0: not at all",
            NULL),
    OPT_ROW(OPT_FLOAT, struct token_flags, share, "1", 0, 1, NULL,
            "train: share of the texts that is looked at, drawn by the hash of the text", NULL),
    OPT_ROW(OPT_FLOAT, struct token_flags, held_out, "0.01", 0, 0.5, NULL,
            "train: share of the texts kept for the report, drawn likewise; at most 64 MiB are "
            "measured",
            NULL),
    OPT_ROW(OPT_LIST, struct token_flags, compare, NULL, 0, 0, NULL,
            "train: vocabularies beside which the report shows the new one", NULL),
    OPT_ROW(OPT_SIZE, struct token_flags, memory, "1500M", 16 << 20, 1e13, "bytes",
            "train: at most, texts in flight not counted; what has no room goes through a "
            "temporary file ($TMPDIR)",
            NULL),
    OPT_ROW(OPT_INT, struct token_flags, threads, "0", 0, POOL_THREADS_MAX, "threads",
            "0: one per core; the output is the same for any number", NULL),
    OPT_LAST,
};

static const char *const standard_input[] = {"-"};

static int open_tokenizer(const struct token_flags *flags, const char *path, struct tokenizer **t)
{
    int pretok = -1;
    if (!path || !path[0])
        return err_set(ERR_USAGE, "tokenize: name a tokenizer: --tokenizer=RUN/tokenizer");
    TRY(token_pattern(flags, &pretok));
    return tokenizer_open_as(t, path, pretok);
}

/* ---- encode ---- */
/* Decimal digits of n to `to`, behind it its end. */
static char *put_number(char *to, uint32_t n)
{
    char digits[10];
    int count = 0;
    do
        digits[count++] = (char)('0' + n % 10);
    while (n /= 10);
    while (count)
        *to++ = digits[--count];
    return to;
}

static void put_ids(struct buf *to, const uint32_t *ids, uint32_t count, char between)
{
    char *first = buf_room(to, (size_t)count * 11 + 1), *at = first;
    if (!first)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            *at++ = between;
        at = put_number(at, ids[i]);
    }
    buf_grown(to, (size_t)(at - first));
}

static int encode_text(const struct token_flags *flags, struct token_worker *w, struct str text,
                       const uint32_t **ids, uint32_t *count)
{
    TRY(flags->special ? encoder_encode_special(w->encoder, text, &w->arena, ids, count)
                       : encoder_encode(w->encoder, text, &w->arena, ids, count));
    if (flags->max_tokens && *count > flags->max_tokens)
        *count = (uint32_t)flags->max_tokens;
    w->documents++;
    w->bytes += text.len;
    w->tokens += *count;
    return 0;
}

/* The ids of a JSON line's text; *count 0 and *row NULL for an empty line. */
static int line_ids(const struct token_flags *flags, struct token_worker *w, struct str line,
                    struct json **row, const uint32_t **ids, uint32_t *count)
{
    struct str text;
    *row = NULL;
    *count = 0;
    if (line.len == 0)
        return 0;
    TRY(token_line_text(flags, line, &w->arena, row, &text));
    return encode_text(flags, w, text, ids, count);
}

/* Begins a line of output with the id of the line of input, if it has one. */
static void put_id(struct buf *to, const struct json *row)
{
    const struct json *id = json_get(row, "id");
    struct json_writer w;
    if (id && id->type == JSON_STRING) {
        json_begin(&w, to);
        buf_text(to, "\"id\":");
        json_put_str(&w, id->string);
        buf_char(to, ',');
    } else if (id && id->type == JSON_NUMBER) {
        buf_text(to, "\"id\":");
        buf_str(to, id->string);
        buf_char(to, ',');
    }
}

static int encode_line(const struct token_flags *flags, const struct tokenizer *t,
                       struct token_worker *w, struct str line)
{
    struct json *row;
    const uint32_t *ids;
    uint32_t count;
    UNUSED(t);
    TRY(line_ids(flags, w, line, &row, &ids, &count));
    if (!row)
        return 0;
    buf_char(&w->out, '{');
    put_id(&w->out, row);
    buf_text(&w->out, "\"tokens\":[");
    put_ids(&w->out, ids, count, ',');
    buf_text(&w->out, "]}\n");
    return 0;
}

struct one_text {
    const struct token_flags *flags;
    struct token_worker worker;
};

static int encode_whole(void *self, struct str text)
{
    struct one_text *o = self;
    const uint32_t *ids;
    uint32_t count;
    struct buf *out = &o->worker.out;
    arena_reset(&o->worker.arena, 0);
    buf_clear(out);
    TRY(encode_text(o->flags, &o->worker, text, &ids, &count));
    if (o->flags->json)
        buf_char(out, '[');
    put_ids(out, ids, count, o->flags->json ? ',' : '\n');
    if (o->flags->json)
        buf_char(out, ']');
    if (count || o->flags->json)
        buf_char(out, '\n');
    if (out->failed)
        return err_set(ERR_LIMIT, "tokenize: no memory to print %u ids", count);
    return fwrite(out->ptr ? out->ptr : "", 1, out->len, stdout) == out->len
               ? 0
               : err_sys("standard output");
}

static int count_whole(void *self, struct str text)
{
    struct one_text *o = self;
    const uint32_t *ids;
    uint32_t count;
    arena_reset(&o->worker.arena, 0);
    return encode_text(o->flags, &o->worker, text, &ids, &count);
}

/* Texts one after the other, by one encoder. */
static int one_by_one(const struct token_flags *flags, const struct tokenizer *t,
                      const char *const *paths, int paths_count, token_text_fn *fn,
                      struct token_totals *totals)
{
    struct one_text o = {.flags = flags};
    int rc;
    o.worker.out.max = (size_t)4 << 30;
    TRY_OUT(encoder_open(&o.worker.encoder, t));
    TRY_OUT(arena_open(&o.worker.arena, TEXT_ARENA));
    TRY_OUT(token_texts(flags, paths, paths_count, fn, &o));
    rc = fflush(stdout) ? err_sys("standard output") : 0;
    *totals = (struct token_totals){o.worker.documents, o.worker.bytes, o.worker.tokens};
out:
    encoder_close(o.worker.encoder);
    arena_close(&o.worker.arena);
    buf_free(&o.worker.out);
    return rc < 0 ? rc : 0;
}

static int verb_encode(const struct token_flags *flags, const char *const *paths, int count)
{
    struct tokenizer *t = NULL;
    struct token_totals totals = {0};
    TRY(open_tokenizer(flags, flags->tokenizer, &t));
    int rc = flags->jsonl ? token_lines(flags, t, paths, count, encode_line, &totals)
                          : one_by_one(flags, t, paths, count, encode_whole, &totals);
    tokenizer_close(t);
    return rc;
}

/* ---- count ---- */
static int count_line(const struct token_flags *flags, const struct tokenizer *t,
                      struct token_worker *w, struct str line)
{
    struct json *row;
    const uint32_t *ids;
    uint32_t count;
    UNUSED(t);
    return line_ids(flags, w, line, &row, &ids, &count);
}

static int count_all(const struct token_flags *flags, const struct tokenizer *t,
                     const char *const *paths, int count, struct token_totals *totals)
{
    *totals = (struct token_totals){0};
    return flags->jsonl ? token_lines(flags, t, paths, count, count_line, totals)
                        : one_by_one(flags, t, paths, count, count_whole, totals);
}

static double per(uint64_t bytes, uint64_t tokens)
{
    return tokens ? (double)bytes / (double)tokens : 0;
}

static int verb_count(const struct token_flags *flags, const char *const *paths, int count)
{
    struct tokenizer *t = NULL;
    struct token_totals n;
    TRY(open_tokenizer(flags, flags->tokenizer, &t));
    int rc = count_all(flags, t, paths, count, &n);
    tokenizer_close(t);
    TRY(rc);
    printf(flags->json ? "{\"documents\":%llu,\"bytes\":%llu,\"tokens\":%llu,"
                         "\"bytes_per_token\":%.4f}\n"
                       : "%llu documents, %llu bytes, %llu tokens, %.4f bytes a token\n",
           (unsigned long long)n.documents, (unsigned long long)n.bytes,
           (unsigned long long)n.tokens, per(n.bytes, n.tokens));
    return 0;
}

/* ---- decode ---- */
static int decode_line(const struct token_flags *flags, const struct tokenizer *t,
                       struct token_worker *w, struct str line)
{
    struct json *row;
    struct buf text = {0};
    if (line.len == 0)
        return 0;
    TRY(json_parse(&w->arena, line, &row));
    const struct json *list = row->type == JSON_ARRAY ? row : json_get(row, "tokens");
    if (!list || list->type != JSON_ARRAY)
        return err_set(ERR_FORMAT, "no list \"tokens\" in this line");
    int rc = 0;
    for (const struct json *v = list->child; v && rc >= 0; v = v->next) {
        uint64_t id;
        uint32_t small;
        if (!json_u64(v, &id) || id > UINT32_MAX) {
            rc = err_set(ERR_FORMAT, "\"tokens\" holds something that is no id");
            break;
        }
        small = (uint32_t)id;
        rc = flags->special ? tokenizer_decode_special(t, &small, 1, &text)
                            : tokenizer_decode(t, &small, 1, &text);
        w->tokens++;
    }
    if (rc >= 0) {
        struct json_writer jw;
        json_begin(&jw, &w->out);
        buf_char(&w->out, '{');
        put_id(&w->out, row);
        buf_text(&w->out, "\"text\":");
        json_put_str(&jw, buf_view(&text));
        buf_text(&w->out, "}\n");
        w->documents++;
    }
    buf_free(&text);
    return rc;
}

/* Ids with anything but digits between them. */
static int decode_numbers(const struct token_flags *flags, const struct tokenizer *t,
                          struct str text)
{
    struct buf out = {0};
    int rc = 0;
    for (size_t at = 0; at < text.len && rc >= 0;) {
        size_t end = at;
        uint64_t id;
        while (end < text.len && text.ptr[end] >= '0' && text.ptr[end] <= '9')
            end++;
        if (end == at) {
            at++;
            continue;
        }
        if (!str_u64(str_slice(text, at, end), &id) || id >= tokenizer_vocab(t)) {
            rc = err_set(ERR_FORMAT, "tokenize decode: %.*s at byte %zu is no id below %u",
                         (int)(end - at < 24 ? end - at : 24), text.ptr + at, at,
                         tokenizer_vocab(t));
            break;
        }
        uint32_t small = (uint32_t)id;
        rc = flags->special ? tokenizer_decode_special(t, &small, 1, &out)
                            : tokenizer_decode(t, &small, 1, &out);
        at = end;
    }
    if (rc >= 0 && fwrite(out.ptr ? out.ptr : "", 1, out.len, stdout) != out.len)
        rc = err_sys("standard output");
    buf_free(&out);
    return rc;
}

struct decoding {
    const struct token_flags *flags;
    const struct tokenizer *tokenizer;
};

static int decode_whole(void *self, struct str text)
{
    const struct decoding *d = self;
    return decode_numbers(d->flags, d->tokenizer, text);
}

static int verb_decode(const struct token_flags *flags, const char *const *paths, int count)
{
    struct tokenizer *t = NULL;
    struct token_totals totals = {0};
    TRY(open_tokenizer(flags, flags->tokenizer, &t));
    struct decoding d = {flags, t};
    int rc = flags->jsonl ? token_lines(flags, t, paths, count, decode_line, &totals)
                          : token_texts(flags, paths, count, decode_whole, &d);
    tokenizer_close(t);
    return rc;
}

/* ---- inspect ---- */
/* Printable: control characters and bytes that are no UTF-8 as \xNN. */
static void print_bytes(struct str s)
{
    for (size_t i = 0; i < s.len;) {
        uint32_t cp;
        int len = utf8_decode(s.ptr + i, s.ptr + s.len, &cp);
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 32 || c == 127 || (len == 1 && c >= 128) || (cp >= 0x80 && cp < 0xA0) ||
            (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069))
            for (int k = 0; k < len; k++)
                printf("\\x%02X", (unsigned char)s.ptr[i + (size_t)k]);
        else
            printf("%.*s", len, s.ptr + i);
        i += (size_t)len;
    }
}

static int show_text(const struct token_flags *flags, const struct tokenizer *t)
{
    struct one_text o = {.flags = flags};
    const uint32_t *ids;
    uint32_t count;
    int rc;
    TRY_OUT(encoder_open(&o.worker.encoder, t));
    TRY_OUT(arena_open(&o.worker.arena, TEXT_ARENA));
    TRY_OUT(encode_text(flags, &o.worker, str_of(flags->text), &ids, &count));
    for (uint32_t i = 0; i < count; i++) {
        printf("%8u  ", ids[i]);
        print_bytes(tokenizer_text(t, ids[i]));
        putchar('\n');
    }
    printf("%u tokens, %.3f bytes a token\n", count, per(strlen(flags->text), count));
out:
    encoder_close(o.worker.encoder);
    arena_close(&o.worker.arena);
    return rc < 0 ? rc : 0;
}

static void show_lengths(const struct tokenizer *t)
{
    uint32_t longest = 0, whole = 0, words = 0;
    for (uint32_t id = 0; id < tokenizer_vocab(t); id++) {
        struct str bytes = tokenizer_bytes(t, id);
        if (bytes.len > tokenizer_bytes(t, longest).len)
            longest = id;
        whole += bytes.len && utf8_valid(bytes);
        words += bytes.len && bytes.ptr[0] == ' ';
    }
    printf("valid UTF-8   %u tokens; %u begin with a blank\nlongest       %zu bytes: ", whole,
           words, tokenizer_bytes(t, longest).len);
    print_bytes(str_slice(tokenizer_bytes(t, longest), 0, 60));
    putchar('\n');
}

static void show_added(const struct tokenizer *t)
{
    enum { SHOWN = 12 };
    uint32_t count = tokenizer_added_count(t);
    printf("added tokens  %u", count);
    for (uint32_t i = 0; i < count && i < SHOWN; i++) {
        uint32_t id;
        bool special;
        struct str text = tokenizer_added(t, i, &id, &special);
        printf(i % 3 ? "  " : "\n              ");
        print_bytes(text);
        printf(" %u%s", id, special ? "" : " (text)");
    }
    printf(count > SHOWN ? "\n              and %u more\n" : "\n", count - SHOWN);
}

static void show_named(const struct tokenizer *t)
{
    struct str template = tokenizer_chat_template(t);
    if (tokenizer_bos(t) != NO_TOKEN)
        printf("begins text   %u\n", tokenizer_bos(t));
    if (tokenizer_eos(t) != NO_TOKEN)
        printf("ends answer   %u\n", tokenizer_eos(t));
    if (template.len)
        printf("chat template %zu bytes\n", template.len);
}

static void json_named(const struct tokenizer *t)
{
    if (tokenizer_bos(t) != NO_TOKEN)
        printf("\"bos\":%u,", tokenizer_bos(t));
    if (tokenizer_eos(t) != NO_TOKEN)
        printf("\"eos\":%u,", tokenizer_eos(t));
}

static int verb_inspect(const struct token_flags *flags, const char *const *paths, int count)
{
    struct tokenizer *t = NULL;
    UNUSED(paths);
    UNUSED(count);
    TRY(open_tokenizer(flags, flags->tokenizer, &t));
    struct hash128 hash = tokenizer_hash(t);
    int rc = 0;
    if (flags->text && flags->text[0]) {
        rc = show_text(flags, t);
    } else if (flags->json) {
        printf(
            "{\"vocab\":%u,\"merges\":%llu,\"pattern\":\"%s\",\"nfc\":%s,\"added\":%u,\"eot\":%u,",
            tokenizer_vocab(t), (unsigned long long)tokenizer_merges(t),
            pretok_name(tokenizer_pretok(t)), tokenizer_nfc(t) ? "true" : "false",
            tokenizer_added_count(t), tokenizer_eot(t));
        json_named(t);
        printf("\"chat_template\":%zu,\"hash\":\"%016llx%016llx\"}\n",
               tokenizer_chat_template(t).len, (unsigned long long)hash.high,
               (unsigned long long)hash.low);
    } else {
        printf("vocabulary    %u ids, %llu merges\npattern       %s%s (Unicode 16.0)\n"
               "end of text   %u\nhash          %016llx%016llx\n",
               tokenizer_vocab(t), (unsigned long long)tokenizer_merges(t),
               pretok_name(tokenizer_pretok(t)), tokenizer_nfc(t) ? ", after NFC" : "",
               tokenizer_eot(t), (unsigned long long)hash.high, (unsigned long long)hash.low);
        show_named(t);
        show_lengths(t);
        show_added(t);
    }
    tokenizer_close(t);
    return rc;
}

/* ---- convert ---- */
static int verb_convert(const struct token_flags *flags, const char *const *paths, int count)
{
    struct tokenizer *t = NULL;
    if (count != 2)
        return err_set(ERR_USAGE, "tokenize convert: name what is read and what is written: IN OUT "
                                  "(.json, .tiktoken, .gguf or a folder)");
    TRY(open_tokenizer(flags, paths[0], &t));
    int rc = tokenizer_convert(t, paths[1]);
    if (rc >= 0) {
        log_info("%s: %u ids, %llu merges, %u added tokens, read back and compared", paths[1],
                 tokenizer_vocab(t), (unsigned long long)tokenizer_merges(t),
                 tokenizer_added_count(t));
        struct str name = str_of(paths[1]);
        if (name.len > 9 && str_is(str_slice(name, name.len - 9, name.len), ".tiktoken"))
            log_info("a .tiktoken file does not say how text is split: read it with --pattern=%s",
                     pretok_name(tokenizer_pretok(t)));
    }
    tokenizer_close(t);
    return rc;
}

/* A file of JSON lines that is read as one text is hardly ever meant: braces and keys would be
 * learned from, or counted. */
static void note_lines(const struct token_flags *flags, const char *const *paths, int count)
{
    for (int i = 0; i < count && !flags->jsonl; i++) {
        struct str name = str_of(paths[i]);
        if (str_ends(name, ".gz") || str_ends(name, ".zst"))
            name = str_slice(name, 0, name.len - (str_ends(name, ".gz") ? 3 : 4));
        if (str_ends(name, ".jsonl") || str_ends(name, ".ndjson")) {
            log_warn("%s is read as one text, braces and all: for its lines' texts give --jsonl",
                     paths[i]);
            return;
        }
    }
}

static int command_tokenize_main(void *conf, int argc, char **argv, struct arena *a)
{
    static const struct {
        const char *name;
        int (*run)(const struct token_flags *flags, const char *const *paths, int count);
    } verbs[] = {
        {"train", tokenize_train}, {"encode", verb_encode},       {"decode", verb_decode},
        {"count", verb_count},     {"compare", tokenize_compare}, {"inspect", verb_inspect},
        {"convert", verb_convert},
    };
    UNUSED(a);
    if (argc > 1)
        note_lines(conf, (const char *const *)argv + 1, argc - 1);
    for (size_t i = 0; argc && i < COUNT_OF(verbs); i++)
        if (strcmp(argv[0], verbs[i].name) == 0)
            return argc > 1 ? verbs[i].run(conf, (const char *const *)argv + 1, argc - 1)
                            : verbs[i].run(conf, standard_input, 1);
    return err_set(ERR_USAGE,
                   argc ? "tokenize: there is no \"%s\": train, encode, decode, count, "
                          "compare, inspect, convert"
                        : "tokenize: say what: train, encode, decode, count, compare, "
                          "inspect, convert%s",
                   argc ? argv[0] : "");
}

const struct command command_tokenize = {
    .name = "tokenize",
    .group = "looking",
    .usage = "tokenize train|encode|decode|count|compare|inspect|convert [FLAGS] [FILE...|-]",
    .help = "train, use, measure and look into byte-level BPE vocabularies",
    .text =
        "Reads and writes what Hugging Face tokenizers and tiktoken do, and gives the same ids.\n"
        "  sluice tokenize encode --tokenizer=cl100k_base.tiktoken --jsonl docs.jsonl.zst\n"
        "  echo 'Hello world' | sluice tokenize encode --tokenizer=tokenizer.json --json -\n"
        "  sluice tokenize count --tokenizer=run/tokenizer book.txt\n"
        "  sluice tokenize compare --tokenizer=a.json,b.json en.txt de.txt ja.txt\n"
        "  sluice tokenize compare --tokenizer=a.json,b.json --jsonl --by=lang corpus.jsonl.zst\n"
        "  sluice tokenize inspect --tokenizer=a.json --text 'antidisestablishmentarianism'\n"
        "  sluice tokenize train --vocab-size=32768 --out=tok --jsonl corpus.jsonl.zst\n"
        "  sluice tokenize train --out=tok --weight=code=2,web=0.5 --compare=gpt2.json --jsonl "
        "c.jsonl\n"
        "  sluice tokenize convert qwen/tokenizer.json qwen.gguf\n"
        "Files may be gzip or zstd; - is standard input. Without --jsonl a file is one text.\n"
        "With --jsonl a row of a Parquet file is like a line.",
    .opts = token_opts,
    .conf_size = sizeof(struct token_flags),
    .run = command_tokenize_main,
};
