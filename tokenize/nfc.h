/* nfc - canonical composition of UTF-8 text, as the tokenizers that ask for it were trained on. */
#ifndef SLUICE_TOKENIZE_NFC_H
#define SLUICE_TOKENIZE_NFC_H
#include "core/str.h"

/* Scratch of one thread. Zero-initialise, nfc_work_free at the end. */
struct nfc_work {
    struct buf text;   /* the result, when it differs from what came in */
    struct buf points; /* code points that are being put in order */
};
/* Normalization Form C of text with the data of Unicode 9.0, which is what tokenizers 0.23 has;
 * later marks are left where they stand. *out is text itself when nothing in it could change, else
 * it lives in w until the next call. Bytes that are no UTF-8 stay as they are. Linear in the text.
 * ERR_LIMIT: no memory. */
int nfc_normalize(struct str text, struct nfc_work *w, struct str *out);
void nfc_work_free(struct nfc_work *w);
#endif
