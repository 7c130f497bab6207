/* domain - decisions that follow from a document alone: is it held out, and which domain is it of.
 */
#include "command/run.h"

bool run_is_heldout(const struct recipe *r, uint64_t id)
{
    return hash_unit((uint64_t)r->run.seed ^ 0x4E1D, id) < r->heldout.share;
}

static bool list_has(const struct opt_list *list, struct str s, bool glob)
{
    for (size_t i = 0; i < list->count; i++)
        if (glob ? str_glob(list->item[i], s) : str_is(s, list->item[i]))
            return true;
    return list->count == 0;
}

int run_domain_of(const struct recipe *r, const struct spool_doc *d)
{
    for (int i = 0; i + 1 < r->domain_count; i++) {
        const struct domain_conf *conf = &r->domain[i];
        if (!list_has(&conf->lang, str_of(d->lang), false) || !list_has(&conf->host, d->host, true))
            continue;
        float value = r->domain_signal[i] >= 0 ? d->signal[r->domain_signal[i]] : 0;
        if (r->domain_signal[i] >= 0 && !(value >= (float)conf->min && value <= (float)conf->max))
            continue;
        return i;
    }
    return r->domain_count - 1;
}
