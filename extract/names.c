/* names - what each measure of features.c is called when a judgement is explained. */
#include "extract/judge.h"

#include <assert.h>

static const char *const own[] = {
    "characters",
    "words",
    "letters per character",
    "share of capitals",
    "share of digits",
    "sentence ends",
    "commas",
    "sentence ends per word",
    "letters per word",
    "share of text in links",
    "share of text in links to this page",
    "links",
    "characters per link",
    "words of page furniture",
    "share of furniture words",
    "copies on the page",
    "is a paragraph",
    "is a list item",
    "is a table cell",
    "is a definition",
    "is a button or legend",
    "is a quotation",
    "heading level",
    "is preformatted",
    "has line breaks",
    "is hidden",
    "ends like a sentence",
    "starts in lower case",
    "ends with a stop",
    "ends with a colon",
    "has a copyright sign",
    "share of words from the title",
    "share of the title's words",
};
static const char *const cues[] = {
#define CUE_NAME(name) "levels up to a class, id or tag of kind " #name,
    CUES(CUE_NAME)
#undef CUE_NAME
};
#define CONTAINER(which)                                                                           \
    "characters in " which, "link share of " which, "blocks in " which,                            \
        "share of the page in " which, "sentence ends per word in " which, "long text in " which,  \
        "characters per block in " which, "siblings like " which, "levels up to " which
#define UNIT(which)                                                                                \
    "siblings like " which, "characters in " which, "blocks in " which, "link share of " which,    \
        "sentence ends per word in " which, "place of " which " among its like",                   \
        "levels up to " which
#define NEIGHBOUR(which)                                                                           \
    "characters of " which, "link share of " which, "heading level of " which,                     \
        "furniture words of " which, "same element as " which
static const char *const places[] = {
    CONTAINER("its element"),
    CONTAINER("the next larger part"),
    CONTAINER("the part around that"),
    CONTAINER("the part around those"),
    UNIT("its repeated unit"),
    UNIT("the repeated unit around that"),
    NEIGHBOUR("the block two before"),
    NEIGHBOUR("the block before"),
    NEIGHBOUR("the block after"),
    NEIGHBOUR("the block two after"),
    "characters of the blocks around",
    "link share of the blocks around",
    "sentence ends of the blocks around",
    "place on the page in blocks",
    "place on the page in text",
    "depth in the tree",
    "distance from the first h1",
    "distance from the long texts",
    "levels from the densest part",
    "before or behind the densest part",
    "share of the page in the last common part",
};
static const char *const pages[] = {
    "the page: characters",
    "the page: blocks",
    "the page: link share",
    "the page: long text",
    "the page: characters per block",
    "the page: sentence ends per word",
    "the page: text in repeated parts",
    "the page: long blocks",
    "the page: paragraphs",
    "the page: headings",
    "the page: article elements",
    "the page: share of the densest part",
    "the page: blocks in the densest part",
};
static const char *const headings[] = {
    "distance from the heading above",
    "level of the heading above",
    "furniture words of the heading above",
    "words of the heading above",
    "heading above is near a class of kind RELATED",
};
#define GROUP(which)                                                                               \
    which ": members", which ": share of the page", which ": share of its longest",                \
        which ": link share", which ": sentence ends per word"
static const char *const around[] = {
    "share of words from the page's titles",
    "share of those titles' words",
    "share of words from names in JSON-LD",
    "word pairs from the page's descriptions",
    "word pairs from reviews in JSON-LD",
    "share of words used in other long blocks",
    "has a price",
    "has a date or time",
    "has an unfilled placeholder",
    "blocks under the same names",
    "characters of blocks under the same names",
    "link share of blocks under the same names",
    "sentence ends per word of blocks under the same names",
    "place among blocks under the same names",
    GROUP("equal siblings"),
    GROUP("equal siblings around those"),
    "characters in its list entry",
    "blocks in its list entry",
    "link share of its list entry",
    "sentence ends per word in its list entry",
    "blocks from the start of its list entry",
    "place in its list entry",
    GROUP("its list"),
    "place of its entry in the list",
    "before, in or behind the main list",
    "blocks since the last long text",
    "characters since the last long text",
    "blocks to the next long text",
    "characters to the next long text",
    "blocks of links alone around it",
    "blocks in its section",
    "characters in its section",
    "link share of its section",
    "sentence ends per block in its section",
    "levels up to nav",
    "levels up to header",
    "levels up to footer",
    "levels up to aside",
    "levels up to main",
    "levels up to article",
    "levels up to form",
    "levels up to li",
};
static const char *const titles[] = {
#define TOPIC_PART(name) "levels up to a part with a title of kind " #name,
    TOPICS(TOPIC_PART)
#undef TOPIC_PART
#define TOPIC_SINCE(name) "blocks since a heading of kind " #name,
        TOPICS(TOPIC_SINCE)
#undef TOPIC_SINCE
            "blocks in its titled part",
    "blocks since that part's title",
    "words of that title",
    "heading level of that title",
    "link share of its titled part",
    "share of blocks under the same names that stand nowhere else",
    "copies per block under the same names",
    "longest run of ASCII without a blank",
    "blocks from the headline",
    "text from the headline",
    "levels from the headline to what holds both",
    "levels to what holds it and the headline",
    "share of the page in what holds both",
    "level of the headline",
};
static const char *const around_page[] = {
    "JSON-LD: an article",
    "JSON-LD: a product",
    "JSON-LD: a discussion or question",
    "JSON-LD: a list",
    "JSON-LD: answered questions",
    "JSON-LD: any",
    "JSON-LD: names",
    "the page: words in descriptions",
    "JSON-LD: words in reviews",
    "og:type article",
    "og:type product",
    "og:type website",
    "the page: blocks with a price",
    "the page: blocks with a date",
    "the page: blocks with placeholders",
    "the page: hidden text",
    "the page: list items",
    "the page: table cells",
    "the page: preformatted text",
    "the page: long sentences",
    GROUP("the main list"),
    "the main list: characters per entry",
};
static const char *const second[] = {
    "opinion of the block four before",
    "opinion of the block three before",
    "opinion of the block two before",
    "opinion of the block before",
    "first opinion of the block itself",
    "opinion of the block after",
    "opinion of the block two after",
    "opinion of the block three after",
    "opinion of the block four after",
    "opinion of its element",
    "opinion of the next larger part",
    "opinion of the part around that",
    "opinion of the part around those",
    "opinion of its list entry",
    "opinion of its list",
    "opinion of its section",
    "opinion of the main list",
    "opinion of the part with a title",
    "opinion of its chapter",
    "opinion of blocks under the same names",
    "opinion of the heading above",
    "opinion of the long text before",
    "opinion of the long text after",
    "opinion of the whole page",
    "main text expected",
    "share of main text before it",
    "opinion of the ten blocks before",
    "opinion of the ten blocks after",
    "the best opinion on the page",
    "the page may be an article",
    "the page may be a collection",
    "the page may be documentation",
    "the page may be a forum",
    "the page may be a listing",
    "the page may be a product",
    "the page may be a service",
};

struct part {
    const char *const *name;
    int count;
};
#define PART(names)                                                                                \
    {                                                                                              \
        names, (int)COUNT_OF(names)                                                                \
    }
static const struct part parts[] = {
    PART(own),    PART(cues),   PART(places),      PART(pages),  PART(headings),
    PART(around), PART(titles), PART(around_page), PART(second),
};
_Static_assert(COUNT_OF(own) + CUE_COUNT + COUNT_OF(places) + COUNT_OF(pages) + COUNT_OF(headings) +
                       COUNT_OF(around) + COUNT_OF(titles) + COUNT_OF(around_page) ==
                   FEATURES_FIRST,
               "every measure of a block has a name");
_Static_assert(COUNT_OF(second) == FEATURES_SECOND, "every measure of the second step has a name");

const char *feature_name(int column)
{
    assert(column >= 0);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (column < parts[i].count)
            return parts[i].name[column];
        column -= parts[i].count;
    }
    assert(!"no such column");
    return "";
}
