import fc from 'fast-check'
import { expect, test } from 'vitest'

import { maxRequestBytes, parseRequest } from '../../../agent/request-handler/parse-request.ts'

function parse(text: string): ReturnType<typeof parseRequest> {
  return parseRequest(Buffer.from(text))
}

const verbs = ['reboot', 'restart-unit', 'run-hook', 'set-clock', 'install-update', 'confirm-update']

test.each([
  ['{"verb":"reboot"}', 'reboot', ''],
  ['{"verb":"reboot","argument":""}', 'reboot', ''],
  ['{"verb":"restart-unit","argument":"people-counter@1.service"}', 'restart-unit', 'people-counter@1.service'],
  ['{"argument":"flush","verb":"run-hook"}', 'run-hook', 'flush'],
  ['{"verb":"set-clock","argument":"2027-01-31T12:00:00.123Z"}', 'set-clock', '2027-01-31T12:00:00.123Z'],
  [' {\n"verb" :\t"reboot"\r\n}\n', 'reboot', ''],
  [`{"verb":"run-hook","argument":"${'a'.repeat(128)}"}`, 'run-hook', 'a'.repeat(128)],
  ['{"verb":"confirm-update","argument":"1.2.0~rc.1+b7"}', 'confirm-update', '1.2.0~rc.1+b7'],
  [`{"verb":"install-update","argument":"${'a'.repeat(160)}"}`, 'install-update', 'a'.repeat(160)],
])('takes %j', (text, verb, argument) => {
  expect(parse(text)).toEqual({ verb, argument })
})

test.each([
  '',
  ' ',
  '{',
  '{}',
  '[]',
  'null',
  'true',
  '7',
  '"reboot"',
  '["verb","reboot"]',
  '[{"verb":"reboot"}]',
  '{"verb":"reboot"}{"verb":"reboot"}',
  '{"verb":"reboot"} x',
  '{"verb":"reboot",}',
  "{'verb':'reboot'}",
  '{"verb":"reboot"}\0',
  '\ufeff{"verb":"reboot"}',
  '{"Verb":"reboot"}',
  '{"argument":"x"}',
  '{"verb":null}',
  '{"verb":["reboot"]}',
  '{"verb":{"toString":"reboot"}}',
  '{"verb":"reboot","argument":null}',
  '{"verb":"run-hook","argument":7}',
  '{"verb":"run-hook","argument":["a"]}',
  '{"verb":"run-hook","argument":{"length":1}}',
  '{"verb":"reboot","force":"yes"}',
  '{"verb":"reboot","__proto__":"x"}',
  '{"verb":"reboot","constructor":"x"}',
  '{"__proto__":{"verb":"reboot"}}',
  '{"verb":"reboot","verb":"run-hook","argument":"a"}',
  '{"verb":"run-hook","argument":"a","argument":"b"}',
  '{"verb":"re\\u0062oot"}',
  '{"verb":"run-hook","argument":"\\u0061"}',
  '// comment\n{"verb":"reboot"}',
  `{"verb":"run-hook","argument":"a"}${' '.repeat(maxRequestBytes)}`,
])('finds %j malformed', (text) => {
  expect(parse(text)).toBe('malformed')
})

test.each([[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]])(
  'finds bytes that are not UTF-8 malformed: %j',
  (...bytes) => {
    const text = Buffer.from('{"verb":"run-hook","argument":"')
    expect(parseRequest(Buffer.concat([text, Buffer.from(bytes), Buffer.from('"}')]))).toBe('malformed')
  },
)

test.each(['', 'Reboot', 'reboot ', ' reboot', 'poweroff', 'restart_unit', '__proto__', 'toString', 'reboot/../x'])(
  'knows no verb %j',
  (verb) => {
    expect(parse(JSON.stringify({ verb }))).toBe('unknown-verb')
  },
)

test.each([
  '../../bin/sh',
  '/bin/sh',
  'a/b',
  'a b',
  ' ',
  'a;b',
  '$(a)',
  '`a`',
  'a|b',
  'a&b',
  'a>b',
  'a*',
  'a?',
  '~',
  'a=b',
  'a,b',
  'a+b',
  'a%b',
  'a#b',
  "a'b",
  'é',
  '\u0430',
  'a'.repeat(129),
])('lets no argument be %j', (argument) => {
  expect(parse(JSON.stringify({ verb: 'run-hook', argument }))).toBe('bad-argument')
})

test.each(['a b', '../a', 'a*', '$(a)', 'a'.repeat(161)])('lets no argument of an update be %j', (argument) => {
  for (const verb of ['install-update', 'confirm-update'])
    expect(parse(JSON.stringify({ verb, argument }))).toBe('bad-argument')
})

test.each(['a\nb', 'a\\b', 'a\u0000', 'a"b', 'a\tb'])('lets no argument be %j, which needs an escape', (argument) => {
  expect(['bad-argument', 'malformed']).toContain(parse(JSON.stringify({ verb: 'run-hook', argument })))
})

test.each(['restart-unit', 'run-hook', 'set-clock', 'install-update', 'confirm-update'])(
  'wants an argument for %s',
  (verb) => {
    expect(parse(JSON.stringify({ verb }))).toBe('argument-missing')
    expect(parse(JSON.stringify({ verb, argument: '' }))).toBe('argument-missing')
  },
)

test('wants none for a reboot', () => {
  expect(parse('{"verb":"reboot","argument":"now"}')).toBe('argument-not-taken')
})

test('takes nothing but what it says, whatever the bytes', () => {
  const near = fc.record(
    {
      verb: fc.oneof(fc.constantFrom(...verbs), fc.string(), fc.jsonValue()),
      argument: fc.oneof(fc.string({ maxLength: 140 }), fc.stringMatching(/^[A-Za-z0-9@._:-]{0,130}$/), fc.jsonValue()),
      more: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  const text = fc.oneof(
    near.map((value) => Buffer.from(JSON.stringify(value))),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.json().map((json) => Buffer.from(json)),
  )
  fc.assert(
    fc.property(text, (bytes) => {
      const request = parseRequest(bytes)
      if (typeof request === 'string') return
      expect(bytes.length).toBeLessThanOrEqual(maxRequestBytes)
      expect(verbs).toContain(request.verb)
      const isOfUpdate = request.verb.endsWith('-update')
      expect(request.argument).toMatch(isOfUpdate ? /^[A-Za-z0-9@._:~+-]{0,160}$/ : /^[A-Za-z0-9@._:-]{0,128}$/)
      expect(request.argument === '').toBe(request.verb === 'reboot')
    }),
    { numRuns: 2_000 },
  )
})

test('takes every well-formed request that fits', () => {
  const names = fc.stringMatching(/^[A-Za-z0-9@._:-]{1,128}$/)
  fc.assert(
    fc.property(fc.constantFrom('restart-unit', 'run-hook', 'set-clock'), names, (verb, argument) => {
      expect(parse(JSON.stringify({ verb, argument }))).toEqual({ verb, argument })
    }),
  )
})
