/* test_extract_titles - titles over a block, lines said again, and lists behind an article. */
/* Oracle: topics and parts as a reader of the pages below names them. */
#include "core/err.h"
#include "extract/judge.h"
#include "tests/test.h"

struct read {
    struct arena tree, work;
    struct skeleton sk;
    struct page page;
};

static void read_open(struct read *r, struct str html)
{
    struct skeleton_limits limits = {SKELETON_DEPTH_MAX, SKELETON_TAGS_MAX, false};
    enum extract_verdict verdict;
    CHECK_OK(arena_open(&r->tree, 256u << 20));
    CHECK_OK(arena_open(&r->work, 256u << 20));
    CHECK_OK(skeleton_make(&r->work, html, &limits, &r->sk));
    const GumboOutput *tree = html_parse(&r->tree, r->sk.html, 10000, &verdict);
    CHECK(tree != NULL);
    CHECK_INT(page_read(&r->work, tree, &r->sk, &r->page), EXTRACT_OK);
}

static void read_close(struct read *r)
{
    arena_close(&r->tree);
    arena_close(&r->work);
}

static uint32_t block_with(const struct page *p, const char *text)
{
    for (uint32_t i = 0; i < p->block_count; i++)
        if (str_find(block_text(p, &p->block[i]), str_of(text)) != SIZE_MAX)
            return i;
    CHECK(!"a block with this text");
    return 0;
}

/* ---- topics ---- */
TEST(extract_titles_topics)
{
    static const struct {
        const char *title;
        uint32_t topics;
    } cases[] = {
        {"You may also like", 1u << TOPIC_RELATED},
        {"People who viewed this item also viewed", 1u << TOPIC_RELATED},
        {"12 Comments", 1u << TOPIC_COMMENTS},
        {"COMMENTAIRES", 1u << TOPIC_COMMENTS},
        {"Verwandte Artikel", 1u << TOPIC_RELATED},
        {"Technical specifications", 1u << TOPIC_SPECS},
        {"Cookie preferences", 1u << TOPIC_LEGAL},
        {"\xE8\xAF\x84\xE8\xAE\xBA", 1u << TOPIC_COMMENTS},
        {"\xE9\x96\xA2\xE9\x80\xA3\xE8\xA8\x98\xE4\xBA\x8B", 1u << TOPIC_RELATED},
        {"The history of the hinge", 0},
        {"", 0},
        {"...", 0},
        /* one word of five is no topic, and fifteen words are no title */
        {"Kettles that whistle and comments", 0},
        {"comments a b c d e f g h i j k l m n", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        CHECK_INT(cues_topics(str_of(cases[i].title)), cases[i].topics);
}

/* ---- parts and chapters ---- */
static const char shop[] =
    "<html><body><h1>An oil can with a long spout for hinges</h1>"
    "<p>It holds a quarter of a litre and reaches where a finger does not go, behind the door and "
    "under the lid of a chest, and it does not drip.</p>"
    "<h2>Technical details</h2><p>Steel, 0.4 kg, made to last for years in a damp workshop.</p>"
    "<h3>Spout</h3><p>Brass, 22 cm.</p>"
    "<h2>Reviews</h2><p>It reaches every hinge of the house, says my neighbour, who borrowed "
    "it.</p>"
    "<div id=more><div>Similar items</div><ul><li><h3>Grease gun</h3><p>From 12 pounds</p></li>"
    "<li><h3>Funnel</h3><p>Made of tin</p></li></ul></div>"
    "<p>Delivered by post within the week to every house that has a door with hinges.</p>"
    "</body></html>";

TEST(extract_titles_parts)
{
    struct read r;
    read_open(&r, STR(shop));
    struct surround *s = surround_open(&r.work, &r.page, &r.sk.facts.asides);
    CHECK(s != NULL);
    const struct titles *t = &s->titles;
    float row[TITLES_BLOCK];
    uint32_t gun = block_with(&r.page, "Grease gun"), tin = block_with(&r.page, "Made of tin"),
             similar = block_with(&r.page, "Similar"), brass = block_with(&r.page, "Brass"),
             steel = block_with(&r.page, "Steel"), post = block_with(&r.page, "Delivered"),
             first = block_with(&r.page, "quarter of a litre");
    enum { SINCE = TOPIC_COUNT };

    CHECK(titles_block(row, t, tin) == row + TITLES_BLOCK);
    CHECK(row[TOPIC_RELATED] > 0 && row[TOPIC_RELATED] < NEAR_NONE); /* div, ul, li */
    CHECK_INT(row[TOPIC_SPECS], NEAR_NONE);
    CHECK_INT(row[SINCE + TOPIC_REVIEWS], tin - block_with(&r.page, "Reviews"));
    CHECK_INT(row[SINCE + TOPIC_SPECS], -1); /* that section is over */
    struct range part = titles_part(t, tin); /* its list entry, whose title is "Funnel" */
    CHECK_INT(part.from, tin - 1);
    CHECK_INT(part.to, tin + 1);

    titles_block(row, t, gun);
    CHECK(row[TOPIC_RELATED] < NEAR_NONE);
    titles_block(row, t, similar);
    CHECK_INT(row[TOPIC_RELATED], 1); /* the title stands one level below its part */
    CHECK_INT(row[SINCE + TOPIC_RELATED], 0);
    titles_block(row, t, post);
    CHECK_INT(row[TOPIC_RELATED], NEAR_NONE);
    titles_block(row, t, brass);
    CHECK_INT(row[SINCE + TOPIC_SPECS], brass - block_with(&r.page, "Technical"));

    struct range chapter = titles_chapter(t, brass), whole = titles_chapter(t, first);
    CHECK_INT(chapter.from, steel - 1);
    CHECK_INT(chapter.to, block_with(&r.page, "Reviews"));
    CHECK_INT(whole.from, 0);
    CHECK_INT(whole.to, r.page.block_count);
    read_close(&r);
}

/* ---- lines said again ---- */
static uint32_t times(struct str text, const char *part)
{
    uint32_t count = 0;
    for (size_t at = str_find(text, str_of(part)); at != SIZE_MAX;
         at = str_find(text, str_of(part))) {
        text = str_slice(text, at + strlen(part), text.len);
        count++;
    }
    return count;
}

TEST(extract_titles_slider)
{
    static const char html[] =
        "<html><body><article><h1>The long spout</h1><p>It holds a quarter of a litre and reaches "
        "where a finger does not go, behind the door and under the lid of a chest.</p>"
        "<h2>Reach every hinge</h2><h2>Reach every hinge</h2><h2>Reach every hinge</h2>"
        "<p>Its spout is made of brass and bends without breaking, so that a drop falls where it "
        "is wanted, and nowhere else, for as long as there is oil in the can.</p>"
        "<h2>Reach every hinge</h2><p>Doors that were silent for a year squeak again when the "
        "winter comes, since cold oil is stiff and wood moves, and then it is used again.</p>"
        "<pre>oil();\n</pre><pre>oil();\n</pre></article></body></html>";
    struct extract_conf conf = {
        .depth_max = 512, .memory_max = 256u << 20, .time_max_ms = 10000, .mode = "recall"};
    struct extract_scratch *s;
    struct extract_out out;
    struct arena a;
    CHECK_OK(arena_open(&a, 1u << 20));
    CHECK_OK(extract_scratch_open(&s, &conf));
    CHECK_INT(extract_main(s, &a, STR(html), &out), EXTRACT_OK);
    CHECK_INT(times(out.text, "Reach every hinge"), 2); /* not thrice in a row, but again later */
    CHECK_INT(times(out.text, "oil();"), 2);            /* code is left as it is */
    extract_scratch_close(s);
    arena_close(&a);
}

/* ---- lists of other pages ---- */
TEST(extract_titles_lists)
{
    static const char html[] =
        "<html><body><a href=/1>One</a><div><a href=/2>Two</a></div><div><a href=/3>Three</a></div>"
        "<p>A long text that tells in one sentence, and then in another, what there is to be told. "
        "It ends here.</p><ul><li><a href=/4>Four</a></li><li><a href=/5>Five</a></li></ul>"
        "<p>Short.</p><ul><li><a href=/6>Six</a></li><li><a href=/7>Seven</a></li>"
        "<li><a href=/8>Eight</a></li></ul><p>The end.</p></body></html>";
    static const char *const kept[] = {"One",  "Two",  "Three", "A long",
                                       "Four", "Five", "Short", "The end"};
    static const char *const gone[] = {"Six", "Seven", "Eight"};
    struct read r;
    uint8_t decision[16];
    read_open(&r, STR(html));
    const struct page *p = &r.page;
    CHECK_INT(p->block_count, COUNT_OF(kept) + COUNT_OF(gone));
    memset(decision, LIKELY, sizeof decision);
    decision[block_with(p, "Seven")] = COPY; /* what was decided otherwise stays so */
    whole_articles(p, decision);
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        CHECK_INT(decision[block_with(p, kept[i])], LIKELY);
    for (size_t i = 0; i < COUNT_OF(gone); i++)
        CHECK_INT(decision[block_with(p, gone[i])], i == 1 ? COPY : UNLIKELY);
    memset(decision, LIKELY, sizeof decision);
    decision[block_with(p, "A long")] = UNLIKELY; /* no text: the list may be all there is */
    whole_articles(p, decision);
    CHECK_INT(decision[block_with(p, "Six")], LIKELY);
    read_close(&r);
}
