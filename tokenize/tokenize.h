/* tokenize - text to tokens and back: byte-level BPE, trained here or read from others' files. */
#ifndef SLUICE_TOKENIZE_TOKENIZE_H
#define SLUICE_TOKENIZE_TOKENIZE_H
#include "core/arena.h"
#include "core/io.h"
#include "core/str.h"

/* Splitters by hand (tokenize/pretok.c), each the equal of a published pattern: Unicode 16.0 as in
 * tiktoken 0.14 and tokenizers 0.23. The pattern is stored in the tokenizer file, which is how a
 * reader knows the splitter. */
enum pretok {
    PRETOK_GPT2,   /* also r50k, p50k */
    PRETOK_CL100K, /* as tokenizer.json states it; also Llama 3 */
    PRETOK_O200K,
    PRETOK_QWEN2,     /* Qwen 2, 2.5 and 3: one digit a piece; NFC comes first */
    PRETOK_DEEPSEEK3, /* V3, R1: three splits, one inside the other */
    PRETOK_CL100K_TT, /* as tiktoken runs it: white space at the end of the text is one piece */
    PRETOK_COUNT,
};
const char *pretok_name(enum pretok p);
int pretok_find(const char *name); /* by name or other name (llama3, r50k ..); -1 unknown */
/* End of the piece that starts at pos (pos < text.len); any bytes: a byte that is no valid UTF-8 is
 * a character that is no letter, number, sign or space. */
size_t pretok_next(enum pretok p, struct str text, size_t pos);
/* The same, many pieces at once: writes the ends of up to max pieces from pos on (as offsets from
 * pos, while they are below 2^31) and returns how many. The fastest way on this processor; the cuts
 * are those of pretok_next. */
uint32_t pretok_split(enum pretok p, struct str text, size_t pos, uint32_t *end, uint32_t max);

/* Training (tokenize/bpe_train.c): counts pieces, then merges the commonest pair; ties: smaller
 * (left, right) ids. The same bytes for any order of the same texts, any number of threads and any
 * memory. Of a text with more than 12 million different pieces (or 96 MiB of them) the rarest are
 * left out, as many as it takes to be below that: all that were counted equally often stay or go.
 */
struct bpe_trainer;
struct bpe_train_conf {
    int64_t vocab_size; /* with 256 bytes, <|endoftext|> and the special tokens */
    enum pretok pretok;
    int64_t piece_bytes_max; /* longer pieces are left out; 0: 256 */
    int64_t piece_min;       /* pieces seen less often are left out; 0: 1 */
    int64_t pair_min;        /* pairs seen less often are not merged; 0: 2 */
    uint64_t weight_one;     /* the weight of a text that counts once, where weights are given in
                                parts of it; 0: 1. piece_min and pair_min are in whole ones. */
    uint64_t memory;         /* at most, threads and texts not counted; 0: 1500 MiB */
    const char *spill_dir;   /* where counts go that have no room in memory; NULL: $TMPDIR, /tmp */
    const char *const *special; /* added tokens behind <|endoftext|>, in their order; borrowed */
    size_t special_count;
};
int bpe_trainer_open(struct bpe_trainer **out, const struct bpe_train_conf *conf);
/* A thread's way to add texts; any number at a time. weight: how often the text counts. */
struct bpe_counter;
int bpe_counter_open(struct bpe_counter **out, struct bpe_trainer *t);
int bpe_counter_add(struct bpe_counter *c, struct str text, uint64_t weight);
int bpe_counter_close(struct bpe_counter *c); /* before bpe_trainer_finish; frees in any case */
/* The same for one thread. */
int bpe_trainer_add(struct bpe_trainer *t, struct str text, uint64_t weight);
/* Learns and writes dir/tokenizer.json (Hugging Face) with tokenizer_config.json and
 * special_tokens_map.json, and dir/tokenizer.tiktoken (ranks), each atomically. ERR_LIMIT when
 * memory is not enough to learn in. */
int bpe_trainer_finish(struct bpe_trainer *t, const char *dir, struct io_info *json_info,
                       struct io_info *ranks_info);
struct bpe_train_stats {
    uint64_t texts, bytes;           /* added */
    uint64_t pieces, learned_pieces; /* different ones counted, and learned from */
    uint64_t piece_least;            /* pieces seen less often were left out */
    uint64_t spilled;                /* bytes of counts that went through a file */
    uint64_t merges, last_count;     /* how often the pair of the last merge was seen */
};
struct bpe_train_stats bpe_trainer_stats(const struct bpe_trainer *t);
void bpe_trainer_close(struct bpe_trainer *t); /* its counters must be closed */

/* A loaded tokenizer: read-only, thread-safe. Ids 0..255 + merges; special tokens last;
 * <|endoftext|> is one. */
struct tokenizer;
int tokenizer_open(struct tokenizer **out,
                   const char *path); /* tokenizer.json, .tiktoken, .gguf (a model's too),
                                         encoder.json beside vocab.bpe, or a folder with one */
/* The same with a splitter given, for rank files, which do not name theirs; -1: as tokenizer_open.
 */
int tokenizer_open_as(struct tokenizer **out, const char *path, int pretok);
uint32_t tokenizer_vocab(const struct tokenizer *t);      /* ids are < this, specials included */
uint32_t tokenizer_eot(const struct tokenizer *t);        /* <|endoftext|> */
struct hash128 tokenizer_hash(const struct tokenizer *t); /* of what decides the ids */
/* Per-thread state: a piece cache, 10 MiB at first and up to 50 MiB after hundreds of megabytes of
 * different text, and work space that grows with the longest piece. */
struct encoder;
int encoder_open(struct encoder **out, const struct tokenizer *t);
/* Appends the ids of text to the arena; added tokens in the text are ordinary text. Linear in the
 * text, whatever it holds. ERR_LIMIT beyond 256 MiB of text, or when a is full. */
int encoder_encode(struct encoder *e, struct str text, struct arena *a, const uint32_t **ids,
                   uint32_t *count);
/* The same, but where the text holds an added token (<|im_start|>) its id is put: for text that the
 * caller wrote, never for pages. The first and then the longest match counts, as in tokenizers. */
int encoder_encode_special(struct encoder *e, struct str text, struct arena *a,
                           const uint32_t **ids, uint32_t *count);
void encoder_close(struct encoder *e);
/* Bytes of one token (lives with t); empty for specials. */
struct str tokenizer_bytes(const struct tokenizer *t, uint32_t id);
/* What stands for an id in text: its bytes, or an added token's text, special or not. */
struct str tokenizer_text(const struct tokenizer *t, uint32_t id);
/* Text of ids; special tokens leave nothing unless asked for. ERR_FORMAT names a wrong id. */
int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, uint32_t count,
                     struct buf *to);
int tokenizer_decode_special(const struct tokenizer *t, const uint32_t *ids, uint32_t count,
                             struct buf *to);
/* Decoding as ids arrive: a token may end inside a character, whose bytes are held until the rest
 * comes. Zero-initialise. */
struct decoder {
    char held[4];
    uint32_t held_count;
};
/* Appends the characters that id completes. */
int decoder_push(struct decoder *d, const struct tokenizer *t, uint32_t id, struct buf *to);
void decoder_finish(struct decoder *d, struct buf *to); /* what is held, as it is */
/* What a file holds, for those who look into it. */
enum pretok tokenizer_pretok(const struct tokenizer *t);
bool tokenizer_nfc(const struct tokenizer *t);
uint64_t tokenizer_merges(const struct tokenizer *t);
uint32_t tokenizer_added_count(const struct tokenizer *t);
/* Added token number index; its text lives with t. */
struct str tokenizer_added(const struct tokenizer *t, uint32_t index, uint32_t *id, bool *special);
/* Which token begins a text and which ends an answer, where the files say so; NO_TOKEN. */
#define NO_TOKEN UINT32_MAX
uint32_t tokenizer_bos(const struct tokenizer *t);
uint32_t tokenizer_eos(const struct tokenizer *t);
struct str tokenizer_chat_template(const struct tokenizer *t); /* Jinja; empty: none */
/* Writes t as OUT.json (Hugging Face), OUT.tiktoken or OUT.gguf; any other name is a folder, in
 * which tokenizer.json, tokenizer_config.json and special_tokens_map.json are written. ERR_FORMAT
 * with the reason, and no file, when the format cannot hold what decides the ids: the bytes are
 * read back and compared before they are written. */
int tokenizer_convert(const struct tokenizer *t, const char *out);
void tokenizer_close(struct tokenizer *t);
#endif
