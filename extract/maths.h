/* maths - formulas as text: TeX where the page carries it, else MathML in one line. */
#ifndef SLUICE_EXTRACT_MATHS_H
#define SLUICE_EXTRACT_MATHS_H
#include "core/str.h"

/* A formula from its <math> tag on (or only what stands inside), without the end tag, as UTF-8 in
 * out, at most room bytes; returns how many (room of mathml.len + 8 is always enough). A TeX
 * annotation (LaTeXML, KaTeX, MathJax, MediaWiki) or an alttext with TeX commands gives "$x^2$", or
 * "$$x^2$$" with display=block; else the formula in the manner of AsciiMath: (a + b)/c,
 * x_(i + 1)^2, sqrt(x), root(3)(x), sum_(i = 1)^n, [[a, b], [c, d]]. Linear time whatever the
 * nesting. */
size_t maths_text(struct str mathml, char *out, size_t room);
/* The content of a script of type math/tex ("$...$"), math/tex; mode=display ("$$...$$") or
 * math/mml, as above. */
size_t maths_script(struct str type, struct str script, char *out, size_t room);
/* The alternative text of a picture of a formula, with or without TeX's own signs around it, as
 * above. */
size_t maths_picture(struct str alt, char *out, size_t room);
/* Whether an alternative text says itself that it is TeX: "$x^2$", "\(x\)", "\[x\]",
 * "\begin{...". */
bool maths_is_tex(struct str alt);
#endif
