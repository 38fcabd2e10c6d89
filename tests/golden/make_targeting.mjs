// SPDX-License-Identifier: Apache-2.0
// Prints tests/golden/targeting.tsv: results of targeting rules by two independent evaluators,
// json-logic-js (the reference of JsonLogic) and @openfeature/flagd-core (flagd's operators;
// 4.0.1 has the integer bucketing of fractional). Usage:
//   npm install --prefix DIR json-logic-js@2.0.5 @openfeature/flagd-core@4.0.1 @openfeature/core
//   node make_targeting.mjs DIR > targeting.tsv
// Left out are results with half of a surrogate pair, which no UTF-8 can hold.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const load = createRequire(resolve(process.argv[2] ?? '.', 'package.json'));
const jsonLogic = load('json-logic-js');
const { FeatureFlag } = load('@openfeature/flagd-core');

const NOW_MS = 1775000000123;
Date.now = () => NOW_MS;
console.log = () => {};
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const out = [`# evaluator\tflag key\trule\tcontext\tresult; the wall clock stands at ${NOW_MS} ms`];

function emit(source, flagKey, rule, context, result) {
  const text = JSON.stringify(result ?? null);
  if (/\\ud[89a-f]/.test(text)) return;
  out.push([source, flagKey, JSON.stringify(rule), JSON.stringify(context), text].join('\t'));
}
function logic(rule, context = {}) {
  emit('json-logic-js', 'golden', rule, context, jsonLogic.apply(rule, context));
}
function flagd(rule, context = {}, key = 'golden', seen = context) {
  const flag = new FeatureFlag(key, { state: 'ENABLED', variants: { a: 1 }, targeting: rule }, quiet);
  emit('flagd-core', key, rule, context, flag._targeting.evaluate(key, seen));
}
// flagd hashes the UTF-8 of a key, flagd-core its UTF-16 units: it is given each byte as a unit.
const bytes = (text) => Buffer.from(text).toString('latin1');

const v = (name) => ({ var: name });

// What is no rule passes through.
for (const plain of [true, false, null, 17, 3.14, -0, '', 'apple', 'ü\t"\\\n', [], ['a', 'b'], {}, { a: 1, b: 2 },
  [[1], [{ a: 1, b: [2] }]]]) logic(plain);

// Every pair of kinds of values through every operator of two arguments.
const VALUES = [null, true, false, 0, 1, -2.5, '', '1', 'a', [], [1], [1, 'a'], {}];
const TWO = ['==', '===', '!=', '!==', '<', '<=', '>', '>=', '+', '-', '*', '/', '%', 'in', 'max', 'min', 'cat', 'and',
  'or', 'merge'];
for (const a of VALUES) {
  for (const b of VALUES) logic(TWO.map((op) => ({ [op]: [v('a'), v('b')] })), { a, b: structuredClone(b) });
}
for (const same of [[1], {}, 'x', null]) logic({ '==': [v('a'), v('a')] }, { a: same });
for (const a of VALUES) {
  logic(['!', '!!', '+', '-', '*', 'cat', 'log', 'max', 'merge', 'if', 'missing'].map((op) => ({ [op]: v('a') })), { a });
}

// Text to number, and number to text.
for (const text of ['0x1F', '0X1f', '0b11', '0o17', '0b12', '0x', ' 12 ', '\n12\t', '\u00a012\u2003', '1e3', '1E+3',
  '1e', '1e+', '.5', '5.', '.', '-', '+3', '-3', '--3', '+-3', '1_0', 'Infinity', '-Infinity', '+Infinity', 'infinity',
  'Infinityx', 'NaN', '12px', '00012', '0x1.8', '1e400', '-1e400', '1e-400', '1,2', '\u0663', '9007199254740993',
  '0.1', '1e21', 'null', 'true', ' ', '\ufeff7', '0.00000000000000000000000001']) {
  logic([{ '-': [v('t'), 0] }, { '+': [v('t')] }, { '*': [v('t'), 1] }, { '==': [v('t'), 12] }, { '>': [v('t'), 1] }],
    { t: text });
}
for (const number of [0, -0, 1, -1, 0.1, 0.5, 1 / 3, 100, 1e5, 123456789, 1e20, 123456789012345680000, 1e21, 1.5e21, -1e22,
  1e-5, 1e-6, 1.5e-6, 1e-7, 1.23e-7, 5e-324, 1.7976931348623157e308, 4294967295, 9007199254740991, 0.1 + 0.2, 1e100]) {
  logic([{ cat: ['<', v('n'), '>'] }, { in: [v('n'), '0.1 1e+21 100 1e-7'] }, { substr: [v('n'), 0, 4] }], { n: number });
}

// substr, in UTF-16 units as JavaScript counts.
for (const text of ['jsonlogic', '', 'äöü€', 'a😀b😀c', 12345]) {
  for (const rest of [[0], [4], [-5], [1, 3], [1, -1], [4, -2], [0, 0], [-3, -1], [100], [-100, 2], [0, 100], [0, -100],
    ['2', '3'], ['x'], [1.7, 2.9], [null, null], [2, null], [0, '-2']]) logic({ substr: [v('t'), ...rest] }, { t: text });
}
for (const [a, b] of [['a', 'b'], ['a', 'ab'], ['B', 'a'], ['é', 'z'], ['\uffee', '😀'], ['😀', '😁'], ['10', '9'], ['', 'a']]) {
  logic([{ '<': [a, b] }, { '>': [a, b] }, { '<=': [a, b] }, { '>=': [a, b] }]);
}

// Data access.
const DATA = { a: 1, b: { c: 2, d: [10, { e: 'x' }, null], n: null }, list: [1, 2, 3], empty: '', zero: 0, none: null, yes: true,
  '': 'blank', 'k': { '': { x: 5 } }, pie: { filling: 'apple' }, name: 'a', words: ['b', 'a', 'c'], targetingKey: 'user-1' };
for (const path of ['a', 'b', 'b.c', 'b.d', 'b.d.0', 'b.d.1.e', 'b.d.2', 'b.d.3', 'b.d.00', 'b.d.-1', 'b.d.x', 'b.n', 'b.n.x', 'c',
  'a.b', 'zero', 'none', 'empty', 'yes.x', 'k..x', '.', 'a.', '.a', 'list.1', 'pie.filling', 'targetingKey', 'x.y.z', 1, null, '',
  true, 1.5, ['a'], ['c', 5], ['none', 5], ['c', { var: 'a' }], [], [''], [{ var: 'name' }], [{ var: 'missing' }],
  [{ cat: ['b', '.', 'c'] }], [{ cat: ['b', '.', 'q'] }, 'other']]) logic({ var: path }, DATA);
logic({ var: 1 }, ['zero', 'one']);
logic({ var: '1.x' }, ['zero', { x: 'deep' }]);
logic({ var: '' }, 'scalar');
logic({ var: 'x' }, 7);
logic({ var: ['x', 'd'] }, null);
for (const keys of ['a', ['a'], ['a', 'q'], ['q', 'none', 'empty', 'zero', 'yes'], ['b.c', 'b.x', 'b.d.1.e'], [['q', 'a', 'r']], [],
  [{ merge: ['q', { if: [true, 'r', 'a'] }] }], [null], [1]]) logic({ missing: keys }, DATA);
for (const [needed, keys] of [[1, ['a', 'q']], [2, ['a', 'q', 'r']], [0, ['q']], [1, []], ['1', ['q', 'a']], [2, ['a', 'b', 'q']],
  [{ var: 'a' }, { merge: [['q'], ['b.c']] }]]) logic({ missing_some: [needed, keys] }, DATA);

// Control flow.
for (const rule of [[], [1], [true, 'y'], [false, 'y'], [true, 'y', 'n'], [false, 'y', 'n'], [[], 'y', 'n'], [[0], 'y', 'n'],
  ['0', 'y', 'n'], ['', 'y', 'n'], [0, 'y', 'n'], [{}, 'y', 'n'], [false, 1, true, 2], [false, 1, false, 2, 3],
  [false, 1, false, 2, false, 3], [{ '>': [v('a'), 0] }, { cat: ['p', v('name')] }, { bad: 1, worse: 2 }]]) {
  logic({ if: rule }, DATA);
  logic({ '?:': rule }, DATA);
}
for (const args of [[], [true], [0, 1], [1, 0], [[], 1], ['a', '', 'c'], ['', 0, null], [1, 'b', [2]]]) {
  logic([{ and: args }, { or: args }]);
}
for (const [op, args] of [['<', [1, 2, 3]], ['<', [1, 1, 3]], ['<', [1, 4, 3]], ['<=', [1, 1, 1]], ['<=', [1, 4, 3]], ['<', ['1', 2, '3']],
  ['>', [3, 2, 9]], ['>=', [3, 3, 9]], ['<', [0, v('zero'), 1]], ['<', [1, 2, null]], ['max', [1, 2, 3]], ['max', [1, 'x']], ['max', ['7', 3]],
  ['min', [3, [1], 2]], ['min', [null, 1]], ['+', []], ['+', ['3.14']], ['+', [1, '2x', 3]], ['+', [2, 2, 2, 2, 2]], ['*', [2, '3', 4]],
  ['-', [2]], ['-', ['2']], ['-', [5, '2']], ['/', [1, 0]], ['/', [0, 0]], ['/', [-1, 0]], ['%', [101, 2]], ['%', [-5, 3]], ['%', [5.5, 2]],
  ['%', [5, 0]], ['cat', []], ['cat', ['I love ', v('pie.filling'), ' pie', null, 1, true]], ['cat', [[1, [2, null, 3]], {}]],
  ['in', ['Spring', 'Springfield']], ['in', ['', 'x']], ['in', [1, '213']], ['in', [1, [1, 2]]], ['in', ['1', [1, 2]]], ['in', [null, [null]]],
  ['in', ['a', v('words')]], ['in', ['a', null]], ['in', ['', '']], ['in', [v('list'), [v('list')]]], ['merge', [[1, 2], 3, [[4]], null, []]],
  ['merge', []], ['!', [[]]], ['!!', ['0']], ['!!', [[0]]], ['===', [null, null]], ['===', [v('q'), null]]]) logic({ [op]: args }, DATA);

// Lists.
const LISTS = { i: [1, 2, 3, 4, 5], w: ['x', '', 'yy'], o: [{ q: 1, p: 'a' }, { q: 5 }, { p: 'c' }], e: [], n: null, k: 2 };
for (const list of ['i', 'w', 'o', 'e', 'n', 'k', 'gone']) {
  for (const body of [v(''), v('q'), { '>': [v(''), 2] }, { '*': [v(''), 2] }, { cat: [v('p'), '!'] }, v('k'), true, 0]) {
    logic(['map', 'filter', 'all', 'none', 'some'].map((op) => ({ [op]: [v(list), body] })), LISTS);
  }
  logic({ reduce: [v(list), { '+': [v('current'), v('accumulator')] }, 0] }, LISTS);
  logic({ reduce: [v(list), { '+': [v('current.q'), v('accumulator')] }, v('k')] }, LISTS);
  logic({ reduce: [v(list), { merge: [v('accumulator'), [v('current')]] }] }, LISTS);
  logic({ reduce: [v(list), v(''), 'start'] }, LISTS);
}
logic({ reduce: [v('i'), { cat: [v('accumulator'), v('current'), v('k')] }, ''] }, LISTS);
logic({ map: [[1, [2, 3], { var: 'k' }], { cat: [v('')] }] }, LISTS);
logic({ map: [v('o'), { map: [[1, 2], { '+': [v(''), 1] }] }] }, LISTS);
logic({ reduce: [{ filter: [v('i'), { '%': [v(''), 2] }] }, { max: [v('accumulator'), v('current')] }, -1] }, LISTS);
logic({ filter: [v('o'), { missing: ['q', 'p'] }] }, LISTS);
logic({ all: [v('o'), { '>=': [v('q'), 1] }] }, LISTS);

// Rules at random (a fixed generator), to meet combinations that nobody thought of.
let state = 20260401;
function draw(n) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 4294967296) * n);
}
const pick = (list) => list[draw(list.length)];
const PATHS = ['n', 't', 'l', 'm', 'm.x', 'l.0', 'l.5', 'gone', 'm.gone', 'f', 'num'];
const CONSTANTS = [null, true, false, 0, 1, 2, -3, 10, 0.5, '', 'a', 'ab', '10', '2', ' 7 ', 'x1', [], [1], ['a', 'b']];
const WIDE = ['==', '===', '!=', '!==', '<', '<=', '>', '>=', '-', '/', '%', 'in'];
const ANY = ['and', 'or', 'if', 'cat', '+', '*', 'max', 'min', 'merge'];
function randomRule(depth, paths) {
  const kind = draw(depth <= 0 ? 2 : 8);
  if (kind === 0) return pick(CONSTANTS);
  if (kind === 1) return v(pick(paths));
  const sub = () => randomRule(depth - 1, paths);
  if (kind <= 3) return { [pick(WIDE)]: [sub(), sub()] };
  if (kind <= 5) return { [pick(ANY)]: Array.from({ length: 1 + draw(4) }, sub) };
  if (kind === 6) return { [pick(['!', '!!', '-', '+'])]: [sub()] };
  const list = pick([v('l'), { merge: [sub(), sub()] }, [sub(), sub(), sub()]]);
  if (draw(3) === 0) return { reduce: [list, randomRule(depth - 1, ['current', 'accumulator']), sub()] };
  return { [pick(['map', 'filter', 'all', 'none', 'some'])]: [list, randomRule(depth - 1, [''])] };
}
for (let i = 0; i < 400; ++i) {
  logic(randomRule(4, PATHS), { n: pick([0, 3, -1.5]), t: pick(['a', '', '12', 'ab']), l: pick([[], [1, 2], ['a', 'b', 'c']]),
    m: { x: pick([1, 'x', null, [2]]) }, f: draw(2) === 1, num: pick(['3', '3.5kg', '0']) });
}

// flagd: fractional.
const ctx = (targetingKey, more = {}) => ({ targetingKey, ...more });
const KEYS = ['jon@company.com', 'jane@company.com', 'user1', 'u', 'Ünïcødé', '日本語', '😀', '', 'ejOoVL', 'bY9fO-', 'SI7p-', '6LvT0', 'ceQdGm',
  'k'.repeat(300), ...Array.from({ length: 20 }, (_, i) => `user-${i}`)];
for (const key of KEYS) {
  const seen = ctx(bytes(key), { email: bytes(key) });
  flagd({ fractional: [['one', 25], ['two', 25], ['three', 25], ['four', 25]] }, ctx(key), 'golden', seen);
  flagd({ fractional: [v('targetingKey'), ['lower', 50], ['upper', 50]] }, ctx(key), 'golden', seen);
  flagd({ fractional: [{ cat: [v('$flagd.flagKey'), v('email')] }, ['a'], ['b', 2], ['c', 2147483644]] },
    ctx(key, { email: key }), 'other', seen);
}
for (const context of [{}, ctx(null), ctx(''), ctx('u', { tier: 'premium', color: 'red', w: 7, none: null }), ctx('user1', { tier: 'basic' })]) {
  for (const args of [[['a', 1]], [['a']], [['a', 0], ['b', 0]], [['a', 0], ['b', 1]], [['a', -50], ['b', 100]], [['a', -1]], [],
    [['a', 2147483647]], [['a', 2147483647], ['b', 1]], [['a', 1e300]], [['a', 1.5], ['b', 1]], [['a', '1'], ['b', 1]], [['a', null], ['b', 1]],
    [[], ['b', 1]], [['a', 1, 2], ['b', 1]], [null, ['a', 1]], [5, ['a', 1]], [true, ['a', 1]], ['key'], ['key', ['a', 1]], ['', ['a', 1], ['b', 1]],
    ['key', 'a'], [v('none'), ['a', 1]], [['a', 1], null], [[true, 1], [false, 1]], [[7, 1], [8.5, 1]], [[null, 1]], [[['x'], 1], ['b', 1]],
    [[{ if: [{ '==': [v('tier'), 'premium'] }, 'premium', 'standard'] }, 50], ['standard', 50]], [[v('color'), 50], ['blue', 50]],
    [['red', { if: [{ '==': [v('tier'), 'premium'] }, 100, 0] }], ['blue', 10]], [['a', v('w')], ['b', { '-': [10, v('w')] }]]]) {
    flagd({ fractional: args }, context);
  }
  flagd({ if: [{ fractional: [[false, 0], [true, 100]] }, 'big', 'small'] }, context);
  flagd({ if: [{ fractional: [[false, 100], [true, 0]] }, 'big', 'small'] }, context);
}
flagd({ fractional: v('shares') }, ctx('u', { shares: [['a', 1], ['b', 1]] }));

// flagd: sem_ver, starts_with, ends_with and its variables.
const VERSIONS = ['1.0.0', 'V1.0.0', '1', 'v1.2', '2.0.0', '1.2.3', '1.10.0', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta',
  '1.0.0-beta.2', '1.0.0-beta.11', '1.0.0+build', '2.0.0.0'];
for (const version of VERSIONS) {
  for (const target of VERSIONS) {
    flagd({ cat: ['=', '!=', '<', '<=', '>', '>=', '^', '~'].map((op) => ({ if: [{ sem_ver: [version, op, target] }, '1', '0'] })) });
  }
}
for (const bad of ['', ' ', '01.0.0', '1.0.0-01', '1.0.0-0a', '1.0.0-', '1.0.0+', '1.0.0-a..b', '1.0.0-a.', '1.0.0+a+b', '1.0.0-a_b', '-1.0.0', '1..0', '1.',
  '01', '1.01', '9007199254740992.0.0', '9007199254740991.0.0', ' 1.0.0 ', ' 1 ', ' v1.0.0', 'vv1.0.0', 'Vv1.0.0', 'v 1.0.0', '=1.0.0', 'x', '1.x', '1.0.0.', '1.0.0-99999999999999999999',
  null, true, 1, 1.5, ['1.0.0'], {}]) {
  flagd({ sem_ver: [v('x'), '>=', '1.0.0'] }, { x: bad });
  flagd({ sem_ver: ['1.0.0', '=', v('x')] }, { x: bad });
}
for (const op of ['===', '', '==', null, 1, 'abc', ' =']) flagd({ sem_ver: ['1.0.0', op, '1.0.0'] });
for (const args of [['1.0.0', '='], ['1.0.0', '=', '1.0.0', 'x'], [], '1.0.0']) flagd({ sem_ver: args });
for (const op of ['starts_with', 'ends_with']) {
  for (const args of [['abcd', 'ab'], ['abcd', 'cd'], ['abcd', ''], ['', ''], ['a', 'ab'], ['äöü', 'ä'], ['äöü', 'ü'], ['abc'], ['a', 'a', 'a'], [1, '1'],
    ['1', 1], [null, 'a'], [v('gone'), 'a'], [v('email'), 'user@faas'], [v('email'), 'faas.com'], 'abc', [], [['a'], 'a']]) {
    flagd({ [op]: args }, { email: 'user@faas.com' });
  }
}
for (const rule of [v('$flagd.flagKey'), v('$flagd.timestamp'), v('$flagd.gone'), v('$flagd'), { '<': [v('$flagd.timestamp'), 1775000001] },
  { '==': [v('targetingKey'), 'u'] }]) flagd(rule, ctx('u', { $flagd: { flagKey: 'forged' } }), 'the-flag');

process.stdout.write(`${out.join('\n')}\n`);
