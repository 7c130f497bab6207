/* extract_feed - the inputs of `sluice extract`, one behind the other, as documents in batches. */
#ifndef SLUICE_COMMAND_EXTRACT_FEED_H
#define SLUICE_COMMAND_EXTRACT_FEED_H
#include "core/pipe.h"
#include "crawl/crawl.h"

enum { FEED_URL_MAX = 64 << 20 }; /* bytes of what an address gives */
struct feed {
    const char *const *input; /* files, addresses, "-"; borrowed */
    size_t count, next;
    const char *url; /* of the one page, or NULL: its address or none */
    const char *user_agent;
    size_t record_max;
    const struct schema *schema;
    /* inside */
    struct input *open;
    char charset[64]; /* as the server said, of the page that is open */
    int fd;           /* of what an address gave, -1: none */
    uint64_t bytes; /* of the inputs that are done */
    size_t failed;  /* inputs that could not be read, or not to their end */
};
/* Opens the first input. 1 when it is the only one and holds one page, 0 when there may be many;
 * negative: the only one cannot be read. feed_close in any case. Of many inputs those that are
 * missing, damaged or of another kind are warned about, counted in `failed` and left. */
int feed_open(struct feed *f);
/* struct source.fill over all inputs in order. d->item is the input's index. */
int feed_fill(void *self, struct batch *b);
void feed_close(struct feed *f);
#endif
