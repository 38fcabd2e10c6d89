#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""include_direction_test.py ROOT: fails when the sources under ROOT break ARCHITECTURE's Direction.

It first plants one violation of each kind in a temporary tree and checks that each is found where
it stands, and that a clean tree is clean; then it looks at ROOT and prints file:line of each."""
import pathlib
import re
import sys
import tempfile

TOPS = ("shared", "controlplane", "dataplane", "ops", "bench", "tests")
PLANES = ("controlplane", "dataplane")

# Module of shared/ -> the modules of shared/ it may include.
SHARED = {
    "base": set(),
    "domain": {"base"},
    "targeting": {"base"},
    "decision": {"base", "domain", "targeting"},
    "telemetry": {"base", "domain"},
    "codec": {"base", "domain", "targeting"},
    "settings": {"base", "domain", "codec"},
    "explain": {"base", "domain", "codec", "decision", "targeting"},
    "evaluator": {"base", "domain", "codec", "decision", "explain", "targeting"},
    "wire": {"base", "domain", "decision", "telemetry", "codec"},
    "transport": {"base", "domain", "decision", "telemetry", "codec", "wire"},
    "http": {"base"},
}

# No sockets, no SQL, no clock reading; and they include only what keeps to that as well.
PURE = ("shared/domain", "shared/targeting", "shared/decision", "controlplane/analysis", "controlplane/rollout")
PURE_MAY_INCLUDE = PURE + ("shared/base", "shared/telemetry", "shared/codec")
IMPURE_HEADER = re.compile(
    r"zmq|sqlite|boost/(asio|beast)|sys/(socket|time|epoll)|netinet/|arpa/", re.IGNORECASE)
CLOCK_READING = re.compile(
    r"\bClock::System\b|_clock\s*::\s*now\b|\bstd::chrono::[\w:]*\bnow\b|\bgettimeofday\s*\("
    r"|\bclock_gettime\s*\(|\btimespec_get\s*\(|\bstd::time\s*\(|(?<![\w.>])time\s*\(\s*(nullptr|NULL|0|&)")

# Third-party header -> the only modules whose files include it.
CONFINED = (
    (re.compile(r"^(sqlite3(ext)?\.h|SQLiteCpp/)"), ("controlplane/store",)),
    (re.compile(r"^(boost/(?!sort/)|openssl/)"), ("shared/http",)),
    (re.compile(r"^boost/sort/"), ("shared/telemetry",)),
    (re.compile(r"^yaml-cpp/"), ("shared/codec",)),
    (re.compile(r"^zmq(_addon)?\.h"), ("shared/transport",)),
    (re.compile(r"^date/"), ("controlplane/gates",)),
    (re.compile(r"^xgboost/"), ("dataplane/runtime/xgboost", "ops/fraud_models")),
)
CONFINED_TOPS = ("shared", "controlplane", "dataplane", "ops")

# Only these know everything of their plane.
WIRING = ("controlplane/control.cc", "controlplane/control_access.cc", "controlplane/control_alerts.cc", "controlplane/control_answers.cc", "controlplane/control_operations.cc", "controlplane/control.h",
          "controlplane/engine.cc", "controlplane/engine.h", "controlplane/engine_policies.cc", "controlplane/cli/main.cc", "dataplane/node.cc", "dataplane/node.h")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
COMMENT_OR_LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'", re.DOTALL)


def without(text, literals):
    """The text without comments, and without literals if asked; lines keep their numbers."""
    def blank(match):
        found = match.group(0)
        if not literals and not found.startswith("/"):
            return found
        return "\n" * found.count("\n")
    return COMMENT_OR_LITERAL.sub(blank, text)


def module_of(path):
    """shared/base/text.h -> shared/base; controlplane/control.cc -> controlplane."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def under(path, folders):
    return any(path.startswith(folder + "/") for folder in folders)


def direction(path, target):
    """Why `path` must not include `target` (both from the root), or None."""
    source, goal = module_of(path), module_of(target)
    top, goal_top = path.split("/")[0], target.split("/")[0]
    if source == goal or top not in ("shared",) + PLANES:
        return None
    if goal_top not in ("shared", top):
        return f"{top} must not include {goal_top}"
    if source in PURE and goal not in PURE_MAY_INCLUDE:
        return f"{source} is pure and must not include {goal}"
    if top == "shared":
        name = source.split("/")[-1]
        if name not in SHARED:
            return f"{source} has no place in the direction table of this test"
        if goal.split("/")[-1] not in SHARED[name]:
            return f"{source} must not include {goal}"
    if path in WIRING:
        return None
    if target in WIRING:
        return f"only wiring includes {target}"
    if source in PLANES and goal_top in PLANES:
        return f"only wiring ({', '.join(WIRING)}) includes the modules of a plane"
    return None


def check_include(root, path, opening, target):
    """The reasons against one include."""
    if "../" in target:
        return [f'"{target}": write the path from the root, never ../']
    top = path.split("/")[0]
    reasons = []
    if path.split("/")[0] in CONFINED_TOPS:
        for header, modules in CONFINED:
            if header.match(target) and not under(path, modules):
                reasons.append(f"<{target}> belongs to {' and '.join(modules)} only")
    if under(path, PURE) and IMPURE_HEADER.search(target):
        reasons.append(f"{module_of(path)} is pure and must not include <{target}>")
    is_ours = target.split("/")[0] in TOPS and "/" in target
    if opening == '"' and not (root / target).is_file():
        reasons.append(f'"{target}" is no file of the tree: write the path from the root')
    elif is_ours:
        reason = direction(path, target)
        if reason:
            reasons.append(reason)
    return reasons


def cycles(edges):
    """One violation for each edge between modules of a plane that closes a circle."""
    def reaches(start, goal, seen):
        seen.add(start)
        return any(n == goal or (n not in seen and reaches(n, goal, seen))
                   for n in edges.get(start, {}))
    found = []
    for source, goals in edges.items():
        for goal, where in goals.items():
            if reaches(goal, source, set()):
                found.append((*where, f"{source} and {goal} include each other"))
    return found


def check_file(root, path, edges):
    text = (root / path).read_text(encoding="utf-8", errors="replace")
    found = []
    if "SPDX-License-Identifier: Apache-2.0" not in text.split("\n", 1)[0]:
        found.append((path, 1, "the first line must be // SPDX-License-Identifier: Apache-2.0"))
    code = without(text, literals=False)
    for match in INCLUDE.finditer(code):
        line = code.count("\n", 0, match.start(2)) + 1
        opening, target = match.groups()
        found += [(path, line, why) for why in check_include(root, path, opening, target)]
        source, goal = module_of(path), module_of(target)
        same_plane = path.split("/")[0] in PLANES and target.startswith(path.split("/")[0] + "/")
        if same_plane and source != goal and path not in WIRING:
            edges.setdefault(source, {}).setdefault(goal, (path, line))
    if under(path, PURE):
        bare = without(text, literals=True)
        for match in CLOCK_READING.finditer(bare):
            line = bare.count("\n", 0, match.start()) + 1
            found.append((path, line, f"{module_of(path)} reads no clock: time is an argument"))
    return found


def check_tree(root):
    """All violations as (path, line, reason), sorted, and the number of files seen."""
    files = sorted(p.relative_to(root).as_posix() for top in TOPS if (root / top).is_dir()
                   for p in (root / top).rglob("*") if p.suffix in (".h", ".cc"))
    edges, found = {}, []
    for path in files:
        found += check_file(root, path, edges)
    return sorted(found + cycles(edges)), len(files)


SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
CLEAN = {
    "shared/base/a.h": SPDX,
    "shared/domain/a.h": SPDX + '#include "shared/base/a.h"\n',
    "shared/wire/a.h": SPDX + '#include "shared/domain/a.h"\n// #include "../b.h"\n',
    "controlplane/store/a.cc": SPDX + '#include <sqlite3.h>\n#include "shared/wire/a.h"\n',
    "controlplane/store/a.h": SPDX,
    "controlplane/api/a.h": SPDX + '#include "controlplane/store/a.h"\n',
    "controlplane/control.h": SPDX + '#include "controlplane/api/a.h"\n',
    "controlplane/main.cc": SPDX + '#include "controlplane/control.h"\n',
    "controlplane/rollout/a.cc": SPDX + '// steady_clock::now()\nconst char* s = "time(nullptr)";\n'
                                        "int64_t lifetime(int);\nint n = 1'000;\n",
    "dataplane/runtime/xgboost/a.cc": SPDX + "#include <xgboost/c_api.h>\n",
    "dataplane/front/a.h": SPDX,
    "tests/unit/shared/base/a_test.cc": SPDX + "#include <zmq.h>\n",
}
# File -> (content, line of the violation); each is planted alone in the clean tree.
PLANTED = {
    "shared/base/b.h": (SPDX + '#include "shared/domain/a.h"\n', 2),
    "shared/http/b.h": (SPDX + '#include "shared/domain/a.h"\n', 2),
    "shared/codec/b.cc": (SPDX + '\n#include "shared/wire/a.h"\n', 3),
    "shared/domain/b.h": (SPDX + '#include "controlplane/store/a.h"\n', 2),
    "shared/newcomer/b.h": (SPDX + '#include "shared/base/a.h"\n', 2),
    "controlplane/api/b.cc": (SPDX + '#include "dataplane/front/a.h"\n', 2),
    "dataplane/front/b.cc": (SPDX + "/* two\nlines */\n#include <zmq.hpp>\n", 4),
    "dataplane/report/b.cc": (SPDX + "#include <boost/asio.hpp>\n", 2),
    "controlplane/api/c.cc": (SPDX + "#include <SQLiteCpp/SQLiteCpp.h>\n", 2),
    "shared/settings/b.cc": (SPDX + "#include <yaml-cpp/yaml.h>\n", 2),
    "dataplane/runtime/b.cc": (SPDX + "#include <xgboost/c_api.h>\n", 2),
    "controlplane/rollout/b.cc": (SPDX + '#include "controlplane/store/a.h"\n', 2),
    "controlplane/rollout/c.cc": (SPDX + "auto t = std::chrono::steady_clock::now();\n", 2),
    "controlplane/analysis/b.cc": (SPDX + "\n\nauto& c = weir::Clock::System();\n", 4),
    "controlplane/analysis/c.cc": (SPDX + "auto t = time(nullptr);\n", 2),
    "shared/decision/b.cc": (SPDX + "#include <sys/socket.h>\n", 2),
    "shared/decision/c.cc": (SPDX + 'const char* s = "//"; int f = gettimeofday(&tv, 0);\n', 2),
    "controlplane/store/b.cc": (SPDX + '#include "controlplane/api/a.h"\n', 2),
    "controlplane/api/d.cc": (SPDX + '#include "controlplane/control.h"\n', 2),
    "controlplane/main.cc": (SPDX + '#include "controlplane/store/a.h"\n', 2),
    "shared/wire/b.h": (SPDX + '#include "../base/a.h"\n', 2),
    "shared/wire/c.h": (SPDX + '#include "a.h"\n', 2),
    "tests/unit/b_test.cc": ("#include <vector>\n", 1),
}


def self_check():
    """Reasons why this test itself does not work."""
    failures = []
    for planted in (None, *PLANTED):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            tree = dict(CLEAN)
            if planted:
                tree[planted] = PLANTED[planted][0]
            for path, content in tree.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(content)
            places = {(path, line) for path, line, _ in check_tree(root)[0]}
        if planted is None and places:
            failures.append(f"the clean tree is not clean: {sorted(places)}")
        if planted and (planted, PLANTED[planted][1]) not in places:
            failures.append(f"not found: {planted}:{PLANTED[planted][1]}")
        if planted and any(path != planted and "store" not in planted for path, _ in places):
            failures.append(f"{planted} makes others guilty: {sorted(places)}")
    return failures


def main():
    failures = self_check()
    for failure in failures:
        print(f"self-check: {failure}")
    found, files = check_tree(pathlib.Path(sys.argv[1]))
    for path, line, reason in found:
        print(f"{path}:{line}: {reason}")
    print(f"{files} files, {len(found)} violations; "
          f"self-check: {len(PLANTED)} planted, {len(failures)} failures")
    return 1 if failures or found or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
