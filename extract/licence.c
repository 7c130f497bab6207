/* licence - tells the licence of a page from the address it links to, or from its customary name.
 */
/* Identifiers are SPDX's, so that a corpus can be cut by exact licence. Jurisdiction ports keep
 * their country ("CC-BY-3.0-US"), as SPDX writes them. */
#include "extract/metadata.h"

#include <stdio.h>

struct known {
    const char *part, *id;
};
/* Found anywhere in an address, in lower case; longer before shorter. */
static const struct known addresses[] = {
    {"opensource.org/licenses/mit", "MIT"},
    {"opensource.org/license/mit", "MIT"},
    {"opensource.org/licenses/apache-2.0", "Apache-2.0"},
    {"opensource.org/license/apache-2-0", "Apache-2.0"},
    {"opensource.org/licenses/bsd-3-clause", "BSD-3-Clause"},
    {"opensource.org/licenses/bsd-2-clause", "BSD-2-Clause"},
    {"apache.org/licenses/license-2.0", "Apache-2.0"},
    {"gnu.org/licenses/fdl-1.2", "GFDL-1.2-only"},
    {"gnu.org/licenses/fdl-1.3", "GFDL-1.3-only"},
    {"gnu.org/copyleft/fdl", "GFDL-1.3-or-later"},
    {"gnu.org/licenses/fdl", "GFDL-1.3-or-later"},
    {"gnu.org/licenses/gpl-2.0", "GPL-2.0-only"},
    {"gnu.org/licenses/old-licenses/gpl-2.0", "GPL-2.0-only"},
    {"gnu.org/licenses/gpl-3.0", "GPL-3.0-only"},
    {"gnu.org/licenses/agpl-3.0", "AGPL-3.0-only"},
    {"gnu.org/licenses/lgpl-3.0", "LGPL-3.0-only"},
    {"mozilla.org/mpl/2.0", "MPL-2.0"},
    {"opendatacommons.org/licenses/odbl", "ODbL-1.0"},
    {"opendatacommons.org/licenses/by", "ODC-By-1.0"},
    {"opendatacommons.org/licenses/pddl", "PDDL-1.0"},
    {"nationalarchives.gov.uk/doc/open-government-licence/version/1", "OGL-UK-1.0"},
    {"nationalarchives.gov.uk/doc/open-government-licence/version/2", "OGL-UK-2.0"},
    {"nationalarchives.gov.uk/doc/open-government-licence/version/3", "OGL-UK-3.0"},
    {"nationalarchives.gov.uk/doc/open-government-licence", "OGL-UK-3.0"},
    {"etalab.gouv.fr/licence-ouverte-open-licence", "etalab-2.0"},
    {"govdata.de/dl-de/by-2-0", "DL-DE-BY-2.0"},
    {"govdata.de/dl-de/zero-2-0", "DL-DE-ZERO-2.0"},
    {"unlicense.org", "Unlicense"},
};
/* The elements that Creative Commons has combined, in its order. */
static const char *const kinds[] = {"by-nc-sa", "by-nc-nd", "by-nc", "by-sa", "by-nd",
                                    "by",       "nc-sa",    "nc",    "sa",    "nd"};

enum { ADDRESS_MAX = 256 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static char lower(char c) { return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c); }
static char upper(char c) { return (char)(c >= 'a' && c <= 'z' ? c - 32 : c); }

/* "4.0" at s: its length, 0 when no version stands there. */
static size_t version_at(struct str s)
{
    return s.len >= 3 && is_digit(s.ptr[0]) && s.ptr[1] == '.' && is_digit(s.ptr[2]) ? 3 : 0;
}

static bool write_cc(char to[LICENCE_MAX], struct str kind, struct str version, struct str port)
{
    int len = snprintf(to, LICENCE_MAX, "CC-%.*s-%.*s%s%.*s", STR_ARG(kind), STR_ARG(version),
                       port.len ? "-" : "", STR_ARG(port));
    for (int i = 0; i < len; i++)
        to[i] = upper(to[i]);
    return true;
}

/* path is what stands behind creativecommons.org/, in lower case. */
static bool cc_of_path(struct str path, char to[LICENCE_MAX])
{
    struct str rest, area = str_cut(path, '/', &rest), kind = str_cut(rest, '/', &rest),
                     version = str_cut(rest, '/', &rest), port = str_cut(rest, '/', &rest);
    bool has_version = version.len == 3 && version_at(version);
    if (str_is(area, "publicdomain")) {
        const char *id = str_is(kind, "zero")   ? "CC0-1.0"
                         : str_is(kind, "mark") ? "CC-PDM-1.0"
                                                : NULL;
        if (id)
            snprintf(to, LICENCE_MAX, "%s", id);
        return id != NULL;
    }
    if (str_is(area, "licenses") && str_is(kind, "publicdomain")) {
        snprintf(to, LICENCE_MAX, "CC-PDDC");
        return true;
    }
    if (!str_is(area, "licenses") || !has_version)
        return false;
    if (str_is(kind, "by-nd-nc")) /* as version 1.0 wrote it */
        kind = STR("by-nc-nd");
    bool country = port.len == 2 || (port.len == 3 && str_is(port, "igo"));
    for (size_t i = 0; i < port.len; i++)
        country = country && port.ptr[i] >= 'a' && port.ptr[i] <= 'z';
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_is(kind, kinds[i]))
            return write_cc(to, kind, version, country ? port : (struct str){0});
    return false;
}

bool licence_of_url(struct str url, char to[LICENCE_MAX])
{
    char address[ADDRESS_MAX];
    struct str s = {address, 0};
    *to = 0;
    for (; s.len < url.len && s.len < ADDRESS_MAX; s.len++)
        address[s.len] = lower(url.ptr[s.len]);
    size_t at = str_find(s, STR("creativecommons.org/"));
    if (at != SIZE_MAX)
        return cc_of_path(str_slice(s, at + 20, s.len), to);
    for (size_t i = 0; i < COUNT_OF(addresses); i++)
        if (str_find(s, str_of(addresses[i].part)) != SIZE_MAX) {
            snprintf(to, LICENCE_MAX, "%s", addresses[i].id);
            return true;
        }
    return false;
}

/* "CC BY-SA 4.0", "cc-by-nc-4.0", "CC0 1.0", "Creative Commons Attribution-ShareAlike 4.0". */
bool licence_of_text(struct str text, char to[LICENCE_MAX])
{
    static const struct known words[] = {
        {"attribution", "by"},   {"noncommercial", "nc"}, {"non-commercial", "nc"},
        {"sharealike", "sa"},    {"share-alike", "sa"},   {"share alike", "sa"},
        {"noderivatives", "nd"}, {"noderivs", "nd"},      {"no derivatives", "nd"},
    };
    char folded[ADDRESS_MAX], kind[16];
    struct str s = {folded, 0};
    *to = 0;
    for (; s.len < text.len && s.len < ADDRESS_MAX; s.len++)
        folded[s.len] = lower(text.ptr[s.len]);
    if (str_starts(s, "cc0") || str_starts(s, "cc-0")) {
        snprintf(to, LICENCE_MAX, "CC0-1.0");
        return true;
    }
    size_t at = 0, len = 0;
    if (str_starts(s, "cc-by") || str_starts(s, "cc by")) {
        for (at = 3; at < s.len && len < 8; at++) {
            char c = folded[at] == ' ' ? '-' : folded[at];
            if (is_digit(c) || (c != '-' && (c < 'a' || c > 'z')))
                break;
            kind[len++] = c;
        }
    } else if ((at = str_find(s, STR("creative commons "))) != SIZE_MAX) {
        at += 17;
        for (bool more = true; more && len < 8;) {
            more = false;
            for (size_t i = 0; i < COUNT_OF(words) && !more; i++)
                if (str_starts(str_slice(s, at, s.len), words[i].part)) {
                    at += strlen(words[i].part);
                    len += (size_t)snprintf(kind + len, sizeof kind - len, "%s-", words[i].id);
                    more = true;
                }
            while (more && at < s.len && (folded[at] == '-' || folded[at] == ' '))
                at++;
        }
    }
    while (len > 0 && kind[len - 1] == '-')
        len--;
    struct str rest = at == SIZE_MAX ? (struct str){0} : str_trim(str_slice(s, at, s.len));
    while (rest.len && !version_at(rest) && str_find(rest, STR(" ")) < 16)
        rest = str_slice(rest, str_find(rest, STR(" ")) + 1, rest.len);
    for (size_t i = 0; len > 0 && version_at(rest) && i < COUNT_OF(kinds); i++)
        if (str_is((struct str){kind, len}, kinds[i]))
            return write_cc(to, (struct str){kind, len}, str_slice(rest, 0, 3), (struct str){0});
    return false;
}
