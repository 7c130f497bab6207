#!/usr/bin/env python3
"""Writes extract/entities.def: the named character references of the HTML standard, from Python's copy of its list.

    gen_entities.py > extract/entities.def
"""
from html.entities import html5

print("/* entities - named references, made by tests/tools/gen_entities.py: do not edit. */")
print("/* Name, code points (the second 0 when there is one), and whether it counts without a semicolon. */")
for name in sorted(n[:-1] for n in html5 if n.endswith(";")):
    points = [ord(c) for c in html5[name + ";"]] + [0]
    print(f'ENTITY("{name}", 0x{points[0]:X}, 0x{points[1]:X}, {int(name in html5)})')
