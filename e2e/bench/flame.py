#!/usr/bin/env python3
"""A flame graph from `perf script`, as one SVG that needs nothing else.

In: the output of `perf script` on standard input. Out: the SVG on standard output; the widest ways in are on standard error.
Width is time on the processor; a frame's title has its share. See DEVELOPMENT.md for the commands around it.
"""
import html
import re
import sys

WIDTH, ROW, SMALLEST = 1600, 17, 0.6


def stacks(lines):
    """Each sample's frames, outermost first."""
    frames, inside = [], False
    for line in lines:
        if not line.strip():
            if frames:
                yield frames[::-1]
            frames, inside = [], False
        elif line[0].isspace() and inside:
            name = re.sub(r"^\s*[0-9a-f]+\s+", "", line.rstrip())
            name = re.sub(r"\s+\([^()]*\)$", "", name)
            frames.append(re.sub(r"\+0x[0-9a-f]+$", "", name))
        else:
            inside = True
    if frames:
        yield frames[::-1]


def tidy(name):
    """Without hashes, generics and the names of crates in angle brackets."""
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    for _ in range(6):
        name, changed = re.subn(r"<[^<>]*>", "", name)
        if not changed:
            break
    return name.strip(":") or "?"


def main():
    root = [0, {}]
    for frames in stacks(sys.stdin):
        node = root
        node[0] += 1
        for name in frames:
            node = node[1].setdefault(tidy(name), [0, {}])
            node[0] += 1
    if not root[0]:
        sys.exit("flame.py: no samples; did perf script print call chains?")
    boxes, depth = [], 0

    def place(node, left, level):
        nonlocal depth
        depth = max(depth, level)
        for name, child in sorted(node[1].items()):
            width = child[0] / root[0] * WIDTH
            if width >= SMALLEST:
                boxes.append((left, level, width, name, child[0]))
                place(child, left, level + 1)
            left += width

    sys.setrecursionlimit(10_000)
    place(root, 0.0, 0)
    height = (depth + 2) * ROW
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">')
    for left, level, width, name, count in boxes:
        share = f"{100 * count / root[0]:.1f} %"
        hue = sum(name.encode()) % 50
        top = height - (level + 1) * ROW
        text = html.escape(name[: max(int(width / 6.7) - 1, 0)]) if width > 20 else ""
        print(
            f'<g><title>{html.escape(name)} {share}</title><rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW - 1}"'
            f' fill="hsl({hue},80%,65%)"/><text x="{left + 2:.1f}" y="{top + 12}">{text}</text></g>'
        )
    print("</svg>")
    own = {}
    for _, _, _, name, count in boxes:
        own[name] = max(own.get(name, 0), count)
    for name, count in sorted(own.items(), key=lambda one: -one[1])[:15]:
        print(f"{100 * count / root[0]:6.1f} %  {name}", file=sys.stderr)


main()
