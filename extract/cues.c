/* cues - the words of class names, furniture and titles: to bits, by one hash look-up each. */
#include "core/hash.h"
#include "extract/parts.h"

#include <pthread.h>

enum { SLOTS = 4096, WORD_MAX = 24, FURNITURE_WORDS = 40, TOPIC_WORDS = 14 };

struct vocabulary {
    enum cue cue;
    const char *words;
};
static const struct vocabulary vocabularies[] = {
    {CUE_NAV, "nav navigation navbar navi subnav topnav leftnav sitenav navlist menu submenu menus "
              "menubar topmenu mainmenu breadcrumb breadcrumbs crumbs crumb sitemap toolbar topbar "
              "drawer hamburger megamenu skip navheader navfooter navpath navlinks prevnext"},
    {CUE_HEADER,
     "header head masthead pageheader siteheader hd globalheader top banner logo brand"},
    {CUE_FOOTER,
     "footer foot colophon ft sitefooter pagefooter globalfooter bottom footnav footers "
     "wpfooter contentinfo printfooter"},
    {CUE_SIDE,
     "sidebar side aside rail sidebars secondary widget widgets complementary rightcol leftcol "
     "rightbar leftbar sidecolumn tertiary offcanvas wpsidebar infobox"},
    {CUE_COMMENT, "comment comments commentlist commentary disqus respond reply replies commenter "
                  "comentarios kommentare discussion livefyre"},
    {CUE_SHARE,
     "share sharing social follow facebook twitter linkedin pinterest whatsapp addthis addtoany "
     "sharedaddy sharebar instagram youtube socials tweet email print"},
    {CUE_AD,
     "ad ads advert advertisement advertising adsbygoogle sponsor sponsored sponsors promo "
     "promotion promos dfp banner outbrain taboola affiliate werbung publicidad adslot adunit"},
    {CUE_RELATED,
     "related recommended recommendations recommendation recommend more popular trending "
     "similar suggested recent latest readmore upsell crosssell yarpp crp mostread morefrom "
     "alsolike viewed upsells recirc ranking rankings relatedposts relatedarticles "
     "relatedproducts"},
    {CUE_META,
     "meta byline date time datetime published timestamp posted postmeta info dateline updated "
     "modified stats views readtime details permalink"},
    {CUE_CONTENT,
     "content contents main maincontent contentarea body page primary wrapper container "
     "pagecontent center inner contentbody wpb elementor"},
    {CUE_ARTICLE,
     "article post entry story blog blogpost posts hentry news articlebody storybody postbody "
     "entrycontent postcontent articlecontent singlepost single blogposting newsarticle"},
    {CUE_FORUM,
     "thread threads topic topics forum forums message messages bbcode posttext postrow bbp "
     "discussions answer answers question questions qa answercell postcell reply usertext "
     "conversation postbit"},
    {CUE_PRODUCT,
     "product products price prices pricing sku specs spec specification specifications buy "
     "cart shop pdp woocommerce variant variants offer offers stock availability"},
    {CUE_LIST,
     "list listing listings results result search-results grid collection catalog catalogue "
     "archive feed loop cards tiles directory index gallery rows"},
    {CUE_ITEM, "item items card tile row cell teaser entry block listitem box col column media"},
    {CUE_HIDDEN,
     "hidden hide invisible collapsed collapse srt sr visuallyhidden offscreen screenreader "
     "none noprint closed inactive clipped sronly"},
    {CUE_MODAL,
     "modal popup cookie cookies consent gdpr overlay dialog lightbox tooltip toast alert "
     "notice notification onetrust ccpa popover alertdialog dropdown flyout"},
    {CUE_SEARCH,
     "search searchform filter filters facet facets sort sorting refine refinement searchbox "
     "query"},
    {CUE_PAGER,
     "pagination pager paging pagenav pages prev next previous older newer pagenumbers paginate"},
    {CUE_BUTTON, "button btn buttons btns link links more action actions"},
    {CUE_CAPTION,
     "caption captions figure figcaption credit gallery slider carousel slide slides slideshow "
     "image images photo photos picture thumbnail thumb thumbs video player swiper slick"},
    {CUE_CODE,
     "code highlight syntax snippet source prettyprint codeblock hljs prism highlighter linenos"},
    {CUE_DOCS,
     "docs doc documentation markdown toc api reference guide manual wiki rst sphinx readme mw "
     "tableofcontents"},
    {CUE_REVIEW,
     "review reviews rating ratings testimonial testimonials faq faqs stars star feedback "
     "accordion customer"},
    {CUE_TITLE,
     "title headline heading subtitle subheading header lead lede intro excerpt summary deck "
     "standfirst name subhead abstract"},
    {CUE_TEXT,
     "text paragraph richtext description desc prose copy txt rte wysiwyg rich mce editor"},
    {CUE_AUTHOR,
     "author authors bio avatar profile user username userinfo member writer contributor vcard "
     "signature poster postprofile postdetails"},
    {CUE_TAGS,
     "tag tags category categories cat taxonomy label labels keywords badge badges chip chips "
     "topics catlinks"},
    {CUE_CTA,
     "cta newsletter subscribe subscription signup register login signin optin join contact "
     "form donate download callout mailchimp paywall leadform hubspot"},
    {CUE_LEGAL, "copyright legal disclaimer privacy terms imprint policy copy rights"},
    {CUE_TABS, "tab tabs tabpanel panel accordion toggle expand expandable tabcontent"},
    {CUE_HERO, "hero jumbotron cover splash masthead billboard intro stage"},
};

static const char furniture[] =
    "cookie cookies subscribe subscription newsletter copyright reserved privacy "
    "terms login signin signup register share tweet facebook twitter linkedin "
    "pinterest whatsapp instagram youtube reply comment comments advertisement "
    "sponsored related previous prev next menu search skip cart checkout wishlist loading "
    "javascript browser follow print email download read more view see all show less "
    "click here continue home contact about sitemap faq help back top posted author "
    "filed tagged categories tags leave cancel submit required unsubscribe permalink "
    "report bookmark datenschutz impressum anmelden teilen weiterlesen kommentar "
    "kommentare newsletter-anmeldung zurück weiter confidentialité partager connexion "
    "inscription accueil abonnez suivant précédent commentaires lire suite privacidad "
    "compartir iniciar sesión inicio suscríbete siguiente anterior comentarios leer "
    "contacto buscar privacidade partilhar entrar próximo comentários condividi "
    "accedi iscriviti cerca delen inloggen zoeken войти поиск подписаться комментарии "
    "подробнее главная 登录 注册 首页 更多 分享 评论 ログイン 検索 ホーム 로그인 검색";

/* What stands under a title is often told by a word of it. */
static const struct {
    enum topic topic;
    const char *words;
} topics[] = {
    {TOPIC_RELATED,
     "related similar recommended recommendations recommendation recommends also more latest "
     "recent recently viewed trending popular featured sponsored suggested explore discover "
     "inspired bought together elsewhere promoted picks bestsellers customers alternatives "
     "ähnliche verwandte beliebt neueste weitere auch empfohlen similaires aussi récents "
     "populaires lire articles relacionados relacionadas recomendados también más últimas "
     "correlati anche leggi altri relacionado veja também leia gerelateerd meer ook bekijk "
     "похожие также читайте популярные 相关 相关文章 推荐 "
     "推荐阅读 热门 関連記事 関連 おすすめ 人気記事 ランキング 관련 "
     "인기"},
    {TOPIC_COMMENTS,
     "comment comments reply replies leave discussion discussions responses thoughts join "
     "conversation kommentar kommentare commentaires commentaire comentarios comentario "
     "commenti comentários reacties комментарии 评论 コメント 댓글"},
    {TOPIC_REVIEWS,
     "review reviews rating ratings testimonials testimonial feedback stars say saying "
     "customer clients bewertungen rezensionen avis opiniones reseñas recensioni avaliações "
     "beoordelingen отзывы 评价 レビュー"},
    {TOPIC_SPECS,
     "specifications specification specs spec features feature details detail description "
     "overview about dimensions technical ingredients box product information key highlights "
     "requirements includes included materials summary eigenschaften technische daten "
     "beschreibung caractéristiques détails características descripción detalles "
     "caratteristiche descrizione descrição specificaties характеристики "
     "описание"},
    {TOPIC_LEGAL,
     "cookie cookies privacy consent preferences legal disclaimer copyright terms policy "
     "policies notice gdpr ccpa datenschutz impressum confidentialité privacidad privacidade"},
    {TOPIC_SIGNUP,
     "subscribe newsletter newsletters signup sign updates touch contact follow join inbox "
     "download register login log account email abonnieren anmelden inscrivez abonnez "
     "suscríbete iscriviti assine contáctanos kontakt"},
    {TOPIC_BROWSE,
     "filter filters sort refine categories category browse navigation menu shop search "
     "archive archives tags topics departments brands resources company support links help "
     "site sections kategorien catégories categorías categorie categorias"},
    {TOPIC_CONTENTS,
     "contents toc page jump inhalt inhaltsverzeichnis sommaire contenido índice indice "
     "sumário article guide chapter chapters 目录 目次"},
    {TOPIC_FAQ,
     "faq faqs questions question answers answer q a asked ask fragen häufige fréquentes "
     "preguntas frecuentes domande frequenti perguntas frequentes"},
    {TOPIC_REFERENCES,
     "references reference see external footnotes footnote notes bibliography sources source "
     "citations citation cited further reading literatur quellen einzelnachweise weblinks "
     "références bibliographie referencias bibliografía fuentes note bibliografia "
     "referências примечания ссылки"},
    {TOPIC_AUTHOR,
     "author authors writer written contributor contributors bio editor posted by autor "
     "autorin auteur autore"},
    {TOPIC_SHARE,
     "share sharing tweet facebook twitter linkedin social teilen partager compartir condividi "
     "compartilhar"},
};

struct entry {
    uint64_t key;
    uint32_t cues;
    uint16_t topics;
    bool furniture;
};
static struct entry table[SLOTS]; /* filled once, then only read */
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

/* One bit for the length and first three bytes of every word there is: most words of a page end
 * here. */
static uint64_t starts[512];

static uint32_t start_of(const char *word, size_t len)
{
    uint32_t first = (unsigned char)word[0];
    first |= len > 1 ? (uint32_t)(unsigned char)word[1] << 8 : 0;
    first |= len > 2 ? (uint32_t)(unsigned char)word[2] << 16 : 0;
    return ((first ^ (uint32_t)len << 24) * 2654435761u) >> 17;
}

static bool may_be_known(const char *word, size_t len)
{
    uint32_t start = start_of(word, len);
    return starts[start >> 6] >> (start & 63) & 1;
}

static struct entry *entry_for(const char *word, size_t len)
{
    uint64_t key = hash64(word, len, 0) | 1, at = key >> 32;
    for (at %= SLOTS; table[at].key && table[at].key != key;)
        at = (at + 1) % SLOTS;
    return &table[at];
}

static void add_words(const char *words, uint32_t cues, uint32_t in_topics, bool is_furniture)
{
    struct str rest = str_of(words);
    while (rest.ptr) {
        struct str word = str_cut(rest, ' ', &rest);
        struct entry *e = entry_for(word.ptr, word.len);
        uint32_t start = start_of(word.ptr, word.len);
        starts[start >> 6] |= 1ull << (start & 63);
        e->key = hash64(word.ptr, word.len, 0) | 1;
        e->cues |= cues;
        e->topics |= (uint16_t)in_topics;
        e->furniture |= is_furniture;
    }
}

static void fill_table(void)
{
    for (size_t i = 0; i < COUNT_OF(vocabularies); i++)
        add_words(vocabularies[i].words, 1u << vocabularies[i].cue, 0, false);
    for (size_t i = 0; i < COUNT_OF(topics); i++)
        add_words(topics[i].words, 0, 1u << topics[i].topic, false);
    add_words(furniture, 0, 0, true);
}

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

uint32_t cues_of(struct str value)
{
    uint32_t cues = 0;
    char word[WORD_MAX];
    size_t len = 0;
    pthread_once(&table_once, fill_table);
    for (size_t i = 0; i <= value.len; i++) {
        char c = i < value.len ? value.ptr[i] : ' ';
        bool hump = is_upper(c) && i > 0 && is_lower(value.ptr[i - 1]);
        if (len > 0 && (hump || !(is_lower(c) || is_upper(c)))) {
            if (len <= WORD_MAX && may_be_known(word, len))
                cues |= entry_for(word, len)->cues;
            len = 0;
        }
        if (is_lower(c) || is_upper(c)) {
            if (len < WORD_MAX)
                word[len] = (char)(c | 0x20);
            len++;
        }
    }
    return cues;
}

uint32_t cues_of_tag(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_NAV:
    case GUMBO_TAG_MENU: return 1u << CUE_NAV;
    case GUMBO_TAG_HEADER: return 1u << CUE_HEADER;
    case GUMBO_TAG_FOOTER: return 1u << CUE_FOOTER;
    case GUMBO_TAG_ASIDE: return 1u << CUE_SIDE;
    case GUMBO_TAG_MAIN: return 1u << CUE_CONTENT;
    case GUMBO_TAG_ARTICLE: return 1u << CUE_ARTICLE;
    case GUMBO_TAG_FIGURE:
    case GUMBO_TAG_FIGCAPTION: return 1u << CUE_CAPTION;
    case GUMBO_TAG_BUTTON: return 1u << CUE_BUTTON;
    case GUMBO_TAG_FORM: return 1u << CUE_CTA;
    case GUMBO_TAG_TIME: return 1u << CUE_META;
    case GUMBO_TAG_PRE: return 1u << CUE_CODE;
    case GUMBO_TAG_DETAILS:
    case GUMBO_TAG_SUMMARY: return 1u << CUE_TABS;
    default: return 0;
    }
}

uint32_t cues_furniture(struct str text)
{
    uint32_t hits = 0, words = 0;
    char word[WORD_MAX];
    size_t len = 0;
    pthread_once(&table_once, fill_table);
    for (size_t i = 0; i <= text.len && words < FURNITURE_WORDS; i++) {
        char c = i < text.len ? text.ptr[i] : ' ';
        bool letter = is_lower(c) || is_upper(c) || (unsigned char)c >= 0x80;
        if (letter) {
            if (len < WORD_MAX)
                word[len] = is_upper(c) ? (char)(c + 32) : c;
            len++;
            continue;
        }
        if (len > 0) {
            words++;
            hits += len <= WORD_MAX && may_be_known(word, len) && entry_for(word, len)->furniture;
            len = 0;
        }
    }
    return hits;
}

/* Chinese and Japanese set no blanks: there the first two signs tell ("related" keywords). */
static uint32_t topics_of(const char *word, size_t len)
{
    enum { TWO_SIGNS = 6 };
    uint32_t hits = 0;
    if (len <= WORD_MAX && may_be_known(word, len))
        hits = entry_for(word, len)->topics;
    if (hits == 0 && len > TWO_SIGNS && (unsigned char)word[0] >= 0xE3 &&
        may_be_known(word, TWO_SIGNS))
        hits = entry_for(word, TWO_SIGNS)->topics;
    return hits;
}

uint32_t cues_topics(struct str text)
{
    uint32_t found[TOPIC_COUNT] = {0}, words = 0, out = 0;
    char word[WORD_MAX];
    size_t len = 0;
    pthread_once(&table_once, fill_table);
    for (size_t i = 0; i <= text.len; i++) {
        char c = i < text.len ? text.ptr[i] : ' ';
        if (is_lower(c) || is_upper(c) || (unsigned char)c >= 0x80) {
            if (len < WORD_MAX)
                word[len] = is_upper(c) ? (char)(c + 32) : c;
            len++;
            continue;
        }
        if (len == 0)
            continue;
        if (++words > TOPIC_WORDS)
            return 0;
        uint32_t hits = topics_of(word, len);
        for (; hits; hits &= hits - 1)
            found[__builtin_ctz(hits)]++;
        len = 0;
    }
    for (int t = 0; t < TOPIC_COUNT; t++)
        out |= found[t] * 4 >= words && found[t] > 0 ? 1u << t : 0;
    return out;
}
