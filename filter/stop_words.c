/* stop_words - frequent function words by language, and the lookup of one word among them.
 *
 * The lists are ours: articles, conjunctions, prepositions and forms of "to be" that any
 * paragraph of the language holds. English is Gopher's list. Chinese and Japanese words are
 * single code points, as the native dialect splits them. */
#include "filter/stop_words.h"

#include "core/unicode.h"

#include <assert.h>
#include <pthread.h>

static const struct {
    const char *lang, *words;
} sources[] = {
    {"en", "the be to of and that have with"},
    {"af", "die en van in is het nie wat"},
    {"ar", "في من على إلى أن هذا التي عن مع ما لا"},
    {"be", "і ў на не што з да як па гэта"},
    {"bg", "и на в да се с за че от е"},
    {"bn", "এবং এই ও থেকে করা না একটি এর"},
    {"bs", "i u je da na se za su od"},
    {"ca", "de la i el que en a els un per"},
    {"cs", "a v se na je že z do to s"},
    {"da", "og i at det er en til på for af"},
    {"de", "der die und das in den zu von ist mit"},
    {"el", "και το να του η της με που για είναι"},
    {"eo", "la kaj de en estas ne al mi por"},
    {"es", "de la que el en y a los se un"},
    {"et", "ja on ei et see oma ka kui"},
    {"eu", "eta da ez bat ere du dira"},
    {"fa", "و در به از که این را با است"},
    {"fi", "ja on ei se että hän oli ovat mutta"},
    {"fr", "de la et le les des en un que est"},
    {"gl", "de a e o que do da en un"},
    {"he", "של את על לא הוא זה עם גם כי"},
    {"hi", "के है में की से को का और"},
    {"hr", "i u je da na se za su od"},
    {"hu", "a az és hogy nem is egy meg"},
    {"id", "yang dan di itu dengan untuk dari ini"},
    {"it", "di e il la che in un per non è"},
    {"ja", "の に は を た が で て と し"},
    {"ko", "이 그 수 있는 있다 및 등 것 한 더 또는 모든"},
    {"la", "et in est non ad ut cum qui"},
    {"lt", "ir kad yra tai į su iš ne"},
    {"lv", "un ir ka no uz ar par tas"},
    {"mk", "и на во да се за од е што"},
    {"ms", "yang dan di itu dengan untuk dari ini"},
    {"nl", "de het een en van is dat in niet te"},
    {"no", "og i det er på en som til av for"},
    {"nn", "og i det er på ein som til av for"},
    {"pl", "i w na z się do nie że to jest"},
    {"pt", "de a que o e do da em um para"},
    {"ro", "și şi de în la a cu nu că pe este"},
    {"ru", "и в не на что я с он как это по"},
    {"sk", "a v sa na je že z do to"},
    {"sl", "in je v na se za da so ki"},
    {"sq", "të e në dhe për një me që"},
    {"sr", "и у је да на се за су од i u je da na se"},
    {"sv", "och att i det som en på är av för"},
    {"sw", "ya na wa kwa ni za katika la"},
    {"tl", "ang ng sa na at mga ay ito"},
    {"tr", "ve bir bu da de için ile olarak"},
    {"uk", "і в на не що з та до як у"},
    {"ur", "کے کی میں ہے اور سے کا کو"},
    {"vi", "là và của có không được cho một người các"},
    {"wuu", "个 是 勒 弗 的 一 人 有"},
    {"yue", "嘅 係 喺 唔 的 一 人 有 同"},
    {"zh", "的 一 是 不 了 在 人 有 我 他"},
};
static struct stop_list lists[COUNT_OF(sources)];
static pthread_once_t lists_once = PTHREAD_ONCE_INIT;

static uint64_t filter_bit(struct str lower)
{
    return UINT64_C(1) << (((unsigned char)lower.ptr[0] + lower.len) & 63);
}

static void lists_fill(void)
{
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        struct stop_list *list = &lists[i];
        struct str rest = str_of(sources[i].words);
        memcpy(list->lang, sources[i].lang, strlen(sources[i].lang) + 1);
        while (rest.ptr) {
            struct str word = str_cut(rest, ' ', &rest);
            assert(list->count < STOP_WORDS_MAX);
            assert(word.len > 0 && word.len <= STOP_WORD_BYTES);
            list->word[list->count++] = word;
            list->filter |= filter_bit(word);
        }
    }
}

const struct stop_list *stop_list_of(const char *lang)
{
    pthread_once(&lists_once, lists_fill);
    if (!lang[0])
        return &lists[0];
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (strcmp(lists[i].lang, lang) == 0)
            return &lists[i];
    return NULL;
}

/* Lower-cases into to; the length, or 0 when it grows past STOP_WORD_BYTES. */
static size_t word_lower(struct str word, char to[STOP_WORD_BYTES + 4])
{
    size_t len = 0;
    for (size_t at = 0; at < word.len;) {
        unsigned char c = (unsigned char)word.ptr[at];
        if (len > STOP_WORD_BYTES)
            return 0;
        if (c < 0x80) {
            to[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
            at++;
            continue;
        }
        uint32_t cp;
        at += (size_t)utf8_decode(word.ptr + at, word.ptr + word.len, &cp);
        len += (size_t)utf8_encode(uc_lower(cp), to + len);
    }
    return len <= STOP_WORD_BYTES ? len : 0;
}

uint32_t stop_word_bit(const struct stop_list *list, struct str word)
{
    char lower[STOP_WORD_BYTES + 4];
    if (word.len == 0 || word.len > STOP_WORD_BYTES)
        return 0;
    struct str low = {lower, word_lower(word, lower)};
    if (low.len == 0 || !(list->filter & filter_bit(low)))
        return 0;
    for (int i = 0; i < list->count; i++)
        if (str_eq(list->word[i], low))
            return UINT32_C(1) << i;
    return 0;
}
