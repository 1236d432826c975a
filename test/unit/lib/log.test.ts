import fc from 'fast-check'
import { expect, test } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { createLog, type Log, type LogLevel, type LogLine } from '../../../agent/lib/log.ts'

function logInto(level: LogLevel): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = []
  return { log: createLog({ level, sinks: [(line) => lines.push(line)] }), lines }
}

/** The line of one entry without the time in front of it. */
function lineOf(fields: Readonly<Record<string, unknown>>, message = 'text'): string {
  const { log, lines } = logInto('debug')
  log.info(message, fields)
  return lines[0]?.text.replace(/^\S+ /, '') ?? ''
}

test('shows time, level, worker, text and fields', () => {
  const { log, lines } = logInto('debug')
  log.child({ worker: 'cameras' }).child({ camera: 'dock-3' }).warn('kept', { tries: 3, quoted: 'two words' })
  expect(lines[0]?.level).toBe('warn')
  expect(lines[0]?.text).toMatch(
    /^\d{4}-\d\d-\d\dT[\d:.]{12}Z WARN {2}cameras: kept camera=dock-3 tries=3 quoted="two words"$/,
  )
})

test('hands every sink the lines at or above its level, in order', () => {
  const { log, lines } = logInto('warn')
  log.debug('one')
  log.info('two')
  log.warn('three')
  log.error('four')
  expect(lines.map(({ level }) => level)).toEqual(['warn', 'error'])
})

test('leaves out fields without a value', () => {
  expect(lineOf({ a: undefined, b: null })).toBe('INFO  text b=null')
})

test('quotes what could be taken for something else', () => {
  expect(lineOf({ a: '', b: 'x=y', c: 'say "hi"', d: 'back\\slash' })).toBe(
    'INFO  text a="" b="x=y" c="say \\"hi\\"" d=back\\slash',
  )
})

test('shows an error with its causes and its hint', () => {
  const error = new AgentError('no credentials', { cause: new Error('refused'), hint: 'check the network' })
  expect(lineOf({ error })).toBe('INFO  text error="AgentError: no credentials: refused" hint="check the network"')
})

test.each([
  'password',
  'Password',
  'cameraPassword',
  'passwd',
  'passphrase',
  'secretString',
  'secretAccessKey',
  'sessionToken',
  'token',
  'tokens',
  'privateKey',
  'authorization',
  'credentials',
  'passwords',
  'secret',
])('hides the value of a field called %s, at the top and inside', (name) => {
  expect(lineOf({ [name]: 'hunter2' })).not.toContain('hunter2')
  expect(lineOf({ outer: { inner: [{ [name]: 'hunter2' }] } })).not.toContain('hunter2')
})

test.each(['secretId', 'camera', 'tokenCount', 'passes', 'hint'])('shows the value of a field called %s', (name) => {
  expect(lineOf({ [name]: 'dock-3' })).toContain(`${name}=dock-3`)
})

test.each([
  ['rtsp://admin:hunter2@10.0.0.5/stream'],
  ['rtsp://admin:pa@hunter2@10.0.0.5/stream'],
  ['HTTPS://hunter2@example.com'],
  ['-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----'],
  ['-----BEGIN RSA PRIVATE KEY-----\nhunter2'],
])('hides what gives itself away by its shape: %s', (text) => {
  expect(lineOf({ url: text })).not.toContain('hunter2')
  expect(lineOf({ nested: { list: [text] } })).not.toContain('hunter2')
  expect(lineOf({ error: new Error('failed', { cause: new Error(`opening ${text}`) }) })).not.toContain('hunter2')
  expect(lineOf({ error: new AgentError('failed', { hint: `look at ${text}` }) })).not.toContain('hunter2')
})

test('keeps a URL without user info, and what follows an @ in its path', () => {
  expect(lineOf({ url: 'rtsp://10.0.0.5/a@b' })).toBe('INFO  text url=rtsp://10.0.0.5/a@b')
})

test('shows an error inside a field with its message', () => {
  expect(lineOf({ outer: { reason: new Error('refused') } })).toContain('refused')
})

test('is one line whatever it is told', () => {
  const text = fc.string({ unit: fc.constantFrom('a', ' ', '\n', '\r', '"', '\u2028', '\u0085', '\0') })
  fc.assert(
    fc.property(text, text, fc.dictionary(text, fc.anything()), (message, worker, fields) => {
      const { log, lines } = logInto('debug')
      log.child({ worker }).info(message, { ...fields, error: new Error(message) })
      expect(lines).toHaveLength(1)
      expect(lines[0]?.text).not.toMatch(/[\n\r]/)
    }),
  )
})

test('does not throw for values that JSON cannot hold', () => {
  const round: Record<string, unknown> = { name: 'round' }
  round['self'] = round
  expect(lineOf({ round, big: 10n, run: () => 1, symbol: Symbol('s') })).toContain('text round=')
})
