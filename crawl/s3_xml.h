/* s3_xml - the little XML that S3 answers with: elements found by name, their text decoded. */
#ifndef SLUICE_CRAWL_S3_XML_H
#define SLUICE_CRAWL_S3_XML_H
#include "core/str.h"

/* Inside crawl/ only. No XML reader: S3 writes no comments, CDATA or nesting of a name in itself,
 * and what breaks that rule is read as text or not found. Linear, no recursion, nothing copied. */

/* The first element of that name in *text: *content is what lies between its tags (empty for
 * <Name/>), and *text becomes what follows it. false: there is none whole; *text stays. */
bool xml_next(struct str *text, const char *name, struct str *content);
/* Its content without looking further: ptr NULL when there is none. */
struct str xml_find(struct str text, const char *name);
/* Appends content with its entities decoded (the five of XML, &#N; and &#xN;); what is no entity
 * stays as it is. */
void xml_text(struct buf *to, struct str content);
#endif
