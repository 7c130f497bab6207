/* warc_header - a record's header block: where it ends, its folded lines, its fields. */
#include "crawl/warc_header.h"

size_t header_end(const char *at, size_t len, size_t from)
{
    for (size_t i = from; i < len;) {
        const char *line = memchr(at + i, '\n', len - i);
        if (!line)
            return 0;
        i = (size_t)(line - at) + 1;
        if (i < len && at[i] == '\n')
            return i + 1;
        if (i + 1 < len && at[i] == '\r' && at[i + 1] == '\n')
            return i + 2;
    }
    return 0;
}

void header_unfold(char *at, size_t len)
{
    for (size_t i = 1; i + 1 < len; i++) {
        if (at[i] != '\n' || (at[i + 1] != ' ' && at[i + 1] != '\t'))
            continue;
        at[i] = ' ';
        if (at[i - 1] == '\r')
            at[i - 1] = ' ';
    }
}

static struct str next_line(struct str *block)
{
    struct str rest, line = str_cut(*block, '\n', &rest);
    *block = rest;
    return line;
}

bool header_read(struct str block, struct warc_record *rec, uint64_t *length)
{
    static const struct { struct str name; size_t at; } field[] = {
#define FIELD(name, member) {{name, sizeof name - 1}, offsetof(struct warc_record, member)}
        FIELD("WARC-Type", type), FIELD("WARC-Target-URI", target_uri), FIELD("WARC-Date", date),
        FIELD("WARC-Record-ID", record_id), FIELD("Content-Type", content_type),
        FIELD("WARC-Truncated", truncated), FIELD("WARC-Identified-Payload-Type", payload_type),
        FIELD("WARC-Segment-Number", segment), FIELD("WARC-Block-Digest", block_digest),
        FIELD("WARC-Payload-Digest", payload_digest),
#undef FIELD
    };
    struct str declared = {0};
    next_line(&block);
    while (block.len) {
        struct str value, line = next_line(&block), name = str_trim(str_cut(line, ':', &value));
        if (!value.ptr)
            continue;
        if (name.len == 14 && !declared.ptr && str_eq_nocase(name, STR("Content-Length")))
            declared = str_trim(value);
        for (size_t i = 0; i < COUNT_OF(field); i++) {
            struct str *to = (struct str *)(void *)((char *)rec + field[i].at);
            if (field[i].name.len == name.len && !to->ptr && str_eq_nocase(name, field[i].name))
                *to = str_trim(value);
        }
    }
    struct str uri = rec->target_uri; /* Wget writes <http://...> */
    if (uri.len >= 2 && uri.ptr[0] == '<' && uri.ptr[uri.len - 1] == '>')
        rec->target_uri = str_slice(uri, 1, uri.len - 1);
    return str_u64(declared, length);
}

bool header_read_arc(struct str header, char date[ARC_DATE_BYTES], struct warc_record *rec,
                     uint64_t *length)
{
    struct arc_line line;
    arc_line(header, &line);
    arc_date(line.date, date);
    rec->arc = true;
    rec->target_uri = line.url;
    rec->date = str_of(date);
    rec->content_type = line.type;
    rec->type = line.about ? STR("warcinfo") : STR("resource");
    *length = line.length;
    return line.known;
}

void header_finish_arc(struct warc_record *rec, struct str head)
{
    if (!str_starts_nocase(head, "HTTP/") || str_is(rec->type, "warcinfo"))
        return;
    rec->type = STR("response");
    rec->content_type = STR("application/http; msgtype=response");
}

struct str warc_record_field(const struct warc_record *rec, const char *name)
{
    struct arc_line arc;
    struct str block = rec->header;
    if (rec->arc)
        return str_eq_nocase(str_of(name), STR("WARC-IP-Address")) && arc_line(block, &arc)
                   ? arc.ip : (struct str){NULL, 0};
    next_line(&block);
    while (block.len) {
        struct str value, line = next_line(&block);
        if (str_eq_nocase(str_trim(str_cut(line, ':', &value)), str_of(name)) && value.ptr)
            return str_trim(value);
    }
    return (struct str){NULL, 0};
}
